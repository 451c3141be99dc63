"""The field's peers, each in a process of its own that answers one line with one line: Erlang's supervisor, and xoscar.

What they need is installed when it is absent: Erlang from the distribution, xoscar from its hashed lock into an
environment of its own under .bed/cache, so that the project's environment stays as small as it is.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.harness import NotMeasuredError, say
from tests.bed.errors import BedError
from tests.bed.packages import ensure
from tests.bed.places import CACHE

HERE = Path(__file__).parent
INSTALL_S = 600


class Peer:
    """A contender like Ours. It says one line of JSON, a number or a list of numbers, for "restart N" and "tell N"."""

    def __init__(self, argv):
        self._argv = argv

    def __enter__(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()

    def _say(self, words):
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasuredError(
                words, f"{Path(self._argv[0]).name} ended", "run it by hand: " + " ".join(self._argv)
            )
        return json.loads(line)

    def restart(self, count):
        """Seconds of each restart."""
        return [taken_us / 1e6 for taken_us in self._say(f"restart {count}")]

    def tell(self, count):
        """Messages a second."""
        return self._say(f"tell {count}")


def erlang(folder):
    """OTP's own supervisor over a gen_server; compiled into `folder`."""
    try:
        ensure("erlang-base", "erlc")
    except BedError as error:
        raise NotMeasuredError("erlang", str(error), "apt install erlang-base") from None
    subprocess.run(["erlc", "-o", str(folder), str(HERE / "otp_peer.erl")], check=True, timeout=60)
    return Peer(["erl", "-noshell", "-pa", str(folder), "-eval", "otp_peer:main(), halt(0)."])


def xoscar():
    """The actor library of the data-science field, in its own environment."""
    lock = HERE / "xoscar.lock"
    place = CACHE / "peers" / f"xoscar-{sys.version_info.major}.{sys.version_info.minor}"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        say(f"installing xoscar under {place}")
        venv.create(place, with_pip=True, clear=True)
        words = [
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "-r",
            str(lock),
        ]
        done = subprocess.run([str(python), *words], check=False, capture_output=True, text=True, timeout=INSTALL_S)
        if done.returncode:
            raise NotMeasuredError("xoscar", done.stderr[-500:], f"{python} {' '.join(words)}")
        (place / "ready").touch()
    return Peer([str(python), str(HERE / "xoscar_peer.py")])
