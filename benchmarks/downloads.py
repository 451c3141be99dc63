"""One file of 1 GiB, four at once and a repository over loopback nginx, beside aria2c, curl, huggingface_hub, SHA-256.

Every side ends verified and durable, client and server share the machine's cores, files are in the server's page cache.

    ours              the transfer engine: SHA-256 while it comes, written past the page cache, fsync
    aria2c_checksum   -x16 -s16, falloc, --checksum=sha-256, then fsync
    curl_sha256       curl -o, then openssl dgst -sha256 compared, then fsync
    huggingface_hub   snapshot_download, then fsync of every file; it verifies nothing
    sha256            hashlib over 1 GiB in memory, one thread: the limit of one file

Beside a llama-server that serves, in one process with a download: asks of an actor, and heartbeats of a real link.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.downloads_origin import BIG_BYTES, PART_BYTES, Nginx
from benchmarks.harness import NotMeasuredError, Result, Samples, interleave, repeat, say, seconds
from tests.bed import places
from tests.bed.packages import ensure
from tests.fakes.origin import Origin

NAME = "downloads"
ROOT = Path(__file__).parents[1]
MIB = 1 << 20
GIB = 1 << 30
LIMIT_S = 120
KILL_SHARE = 0.55
STEADY_BYTES_S = 3 * MIB
"""Of one connection, for the kill: nothing waits in sockets, which the server would count as sent."""
LATE_MS = 1_000.0
"""A heartbeat that comes so long after it was made; they are 10 s apart, and a master waits for two and more."""
PARTS = tuple(f"repo/model-{number}.safetensors" for number in range(4))


def run() -> list[Result]:
    """Medians of five interleaved rounds."""
    aria2c, curl, openssl = ensure("aria2", "aria2c"), ensure("curl", "curl"), ensure("openssl", "openssl")
    with _nginx() as nginx:
        field = Field(nginx, aria2c, curl, openssl)
        say("eleven contenders, five rounds after one of warming")
        contenders = {
            "ours": lambda: field.ours("plain", "big"),
            "aria2c": lambda: field.aria2c("plain"),
            "curl": lambda: field.curl("plain"),
            "ours_tls": lambda: field.ours("tls", "big"),
            "aria2c_tls": lambda: field.aria2c("tls"),
            "curl_tls": lambda: field.curl("tls"),
            "four": lambda: field.ours("plain", *PARTS),
            "repo": lambda: field.child("repository", hub=nginx.url("plain", "").rstrip("/"))["seconds"],
            "hf": lambda: field.child("huggingface_hub", hub=nginx.url("plain", "").rstrip("/"))["seconds"],
            "sha256": _sha256,
        }
        taken = interleave(contenders, rounds=5)
        for name, samples in taken.items():
            say(f"{name}: {samples.median:.2f} s, spread {samples.spread:.2f}")
        with _engine(nginx.folder):
            say("beside an engine that serves: five rounds of asks, five of heartbeats")
            asks = repeat(lambda: field.child("asks", files=nginx.listed("plain", "big"))["p99_ms"], rounds=5)
            beats = repeat(lambda: field.child("heartbeats", files=nginx.listed("plain", *PARTS))["worst_ms"], rounds=5)
        resent = repeat(field.resent, rounds=5, warmup=0)
    return _results({name: samples.median for name, samples in taken.items()}, field, asks, beats, resent)


def _results(took: dict[str, float], field: "Field", asks: Samples, beats: Samples, resent: Samples) -> list[Result]:
    big, repo = BIG_BYTES / MIB, field.repo_bytes / MIB

    def beside(metric: str, size: float, ours: str, peer: str, name: str, target: float) -> Result:
        return Result(
            metric, "MiB/s", "higher", size / took[ours], peer=size / took[peer], peer_name=name, target=target
        )

    return [
        beside("file_mb_per_s", big, "ours", "aria2c", "aria2c_checksum", 4.0),
        beside("file_mb_per_s", big, "ours", "curl", "curl_sha256", 2.0),
        beside("repo_mb_per_s", repo, "repo", "hf", "huggingface_hub", 2.8),
        beside("file_tls_mb_per_s", big, "ours_tls", "curl_tls", "curl_sha256", 1.5),
        beside("file_tls_mb_per_s", big, "ours_tls", "aria2c_tls", "aria2c_checksum", 1.5),
        Result("file_share_of_sha256", "", "higher", took["sha256"] / took["ours"], target=0.70),
        Result("four_files_share_of_sha256", "", "higher", took["sha256"] / took["four"], target=0.80),
        Result("cpu_s_per_gib", "s", "lower", field.cpu("plain"), target=1.6),
        Result("cpu_tls_s_per_gib", "s", "lower", field.cpu("tls"), target=2.5),
        Result("rss_mib", "MiB", "lower", field.rss_mib, target=200.0),
        Result("resent_share_after_kill", "", "lower", resent.median, target=1.02),
        Result("ask_p99_ms_during_download", "ms", "lower", asks.median, target=20.0),
        Result("heartbeat_delay_ms_during_download", "ms", "lower", max(beats.values), target=LATE_MS),
        Result("heartbeat_late", "", "lower", sum(worst > LATE_MS for worst in beats.values), target=0.0),
    ]


@contextmanager
def _engine(folder: Path):
    """A real llama-server in a container, that is asked for tokens without end."""
    from tests.bed import tiny_gguf
    from tests.bed.errors import BedError
    from tests.bed.serving import complete, engine_container
    from tests.bed.whole import Bed

    model, enough = folder / "tiny.gguf", threading.Event()
    tiny_gguf.write(model)
    model.chmod(0o644)

    def ask(url: str) -> None:
        while not enough.is_set():
            complete(url)

    try:
        with Bed() as bed, engine_container(bed.engine.host, bed.llama_image, model) as url:
            client = threading.Thread(target=ask, args=(url,))
            client.start()
            try:
                yield
            finally:
                enough.set()
                client.join()
    except BedError as error:
        raise NotMeasuredError("downloads", str(error), "see tests/bed/README.md") from error


@contextmanager
def _nginx():
    with tempfile.TemporaryDirectory(prefix="downloads-", dir=places.folder()) as folder:
        nginx = Nginx(Path(folder) / "nginx")
        try:
            yield nginx
        finally:
            nginx.stop()


def _sha256() -> float:
    block, state = bytes(MIB), hashlib.sha256()
    return seconds(lambda: [state.update(block) for _ in range(GIB // MIB)])


class Field:
    """Runs contenders; each run has a new folder, which is removed before the next one begins."""

    def __init__(self, nginx: Nginx, aria2c: str, curl: str, openssl: str) -> None:
        self._nginx, self._aria2c, self._curl, self._openssl = nginx, aria2c, curl, openssl
        self._cpu: dict[str, list[float]] = {"plain": [], "tls": []}
        self.rss_mib = 0.0
        self.repo_bytes = sum(size for name, (size, _) in nginx.files.items() if name.startswith("repo/"))
        self._size, self._digest = nginx.files["big"]

    def cpu(self, port: str) -> float:
        """Median processor seconds of our runs of 1 GiB."""
        return Samples(tuple(self._cpu[port])).median

    def ours(self, port: str, *names: str) -> float:
        """Seconds of the transfer engine."""
        said = self.child("files", files=self._nginx.listed(port, *names))
        if names == ("big",):
            self._cpu[port].append(said["cpu_s"])
        self.rss_mib = max(self.rss_mib, said["rss_mib"])
        return said["seconds"]

    def child(self, what: str, **order: object) -> dict[str, float]:
        """What a run in a process of its own said."""
        with self._folder() as folder:
            done = subprocess.run(
                self._argv(what, folder, order),
                cwd=ROOT,
                env=self._env(),
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        if done.returncode:
            raise NotMeasuredError(what, done.stderr[-1_000:], "run make env, and look at the words above")
        return json.loads(done.stdout.splitlines()[-1])

    @staticmethod
    def _argv(what: str, folder: Path, order: dict[str, object]) -> list[str]:
        return [sys.executable, "-m", "benchmarks.downloads_child", what, json.dumps(order | {"folder": str(folder)})]

    def _env(self) -> dict[str, str]:
        return os.environ | {"SSL_CERT_FILE": str(self._nginx.folder / "ca.pem"), "PYTHONPATH": str(ROOT)}

    @contextmanager
    def _folder(self):
        folder = self._nginx.folder / "out"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def aria2c(self, port: str) -> float:
        """Seconds of aria2c with its checksum."""
        words = ["-x16", "-s16", "-k1M", "--file-allocation=falloc", "--check-integrity=true", "--quiet"]
        words += [f"--checksum=sha-256={self._digest}", f"--ca-certificate={self._nginx.folder}/ca.pem"]
        with self._folder() as folder:
            argv = [self._aria2c, *words, "-d", str(folder), "-o", "big", self._nginx.url(port, "big")]
            return seconds(lambda: (subprocess.run(argv, check=True, timeout=LIMIT_S), _sync(folder / "big")))

    def curl(self, port: str) -> float:
        """Seconds of curl, then SHA-256 by openssl."""
        with self._folder() as folder:
            fetch = [self._curl, "-s", "-f", "--cacert", f"{self._nginx.folder}/ca.pem", "-o", str(folder / "big")]
            digest = [self._openssl, "dgst", "-sha256", "-r", str(folder / "big")]

            def run():
                subprocess.run([*fetch, self._nginx.url(port, "big")], check=True, timeout=LIMIT_S)
                found = subprocess.run(digest, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout
                if found.split()[0] != self._digest:
                    raise NotMeasuredError("curl_sha256", "the bytes are wrong", "look at the server")
                _sync(folder / "big")

            return seconds(run)

    def resent(self) -> float:
        """Bytes that a steady origin sent after a kill -9 at 55 %, by what it had not sent before."""
        name = PARTS[0]
        origin = Origin((self._nginx.www / name).read_bytes(), rate=STEADY_BYTES_S)
        try:
            with self._folder() as folder:
                argv = self._argv("files", folder, {"files": [(name, *self._nginx.files[name], origin.url)]})
                child = subprocess.Popen(argv, cwd=ROOT, env=self._env())
                _await_bytes(origin, int(PART_BYTES * KILL_SHARE), child)
                child.send_signal(signal.SIGKILL)
                child.wait(10)
                first, origin.rate = origin.sent, 0
                subprocess.run(argv, cwd=ROOT, env=self._env(), check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
                return (origin.sent - first) / (PART_BYTES - first)
        finally:
            origin.close()


def _await_bytes(origin: Origin, count: int, child: subprocess.Popen) -> None:
    until = time.monotonic() + LIMIT_S
    while origin.sent < count:
        if time.monotonic() > until or child.poll() is not None:
            raise NotMeasuredError("resent_share_after_kill", "the transfer ended before it was killed", "try again")
        origin.moved.wait(0.05)
        origin.moved.clear()


def _sync(file: Path) -> None:
    with file.open("rb") as out:
        os.fsync(out.fileno())
