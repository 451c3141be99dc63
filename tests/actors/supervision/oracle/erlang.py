"""Real OTP beside the test: compiles `otp.erl` once and feeds it programs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.actors.supervision.oracle.programs import Program
from tests.bed.packages import ensure

BATCH_S = 120.0


class Otp:
    """Erlang with the oracle's module, compiled into `folder`."""

    def __init__(self, folder: Path) -> None:
        ensure("erlang-base", "erlc")
        source = Path(__file__).with_name("otp.erl")
        subprocess.run(["erlc", "-o", str(folder), str(source)], check=True, timeout=60)
        self._command = ["erl", "-noshell", "-pa", str(folder), "-eval", "otp:main(), halt(0)."]

    def traces(self, programs: Sequence[Program]) -> list[list[str]]:
        """The words of each program, in order."""
        text = "".join(program.term() for program in programs)
        done = subprocess.run(self._command, input=text, capture_output=True, text=True, timeout=BATCH_S, check=False)
        lines = done.stdout.splitlines()
        assert done.returncode == 0, f"{done.stdout[-500:]}{done.stderr[-2000:]}"
        assert len(lines) == len(programs)
        return [line.split() for line in lines]
