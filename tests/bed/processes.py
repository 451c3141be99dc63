"""Programs that are started, watched and stopped by their process id, with their output kept in a file.

No threads: output goes to a file that is read when someone asks. Every wait has a deadline.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.bed import ports
from tests.bed.errors import BedError
from tests.bed.places import LOGS

T = TypeVar("T")

TICK_S = 0.02
STARTED_S = 20.0
TAIL_LINES = 30


def wait_until(condition: Callable[[], T], *, timeout_s: float, what: str) -> T:
    """The first true value of `condition`, asked every 20 ms; TimeoutError naming `what` otherwise."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(TICK_S)


class Program:
    """One running program under a keeper (keeper.py), which stops it when this process is gone.

    Use it as a context manager, or call `stop()`. `pid` is the program's own process id.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        cleanup: Sequence[Sequence[str]] = (),
        grace_s: float = 10.0,
        keep_open: Sequence[int] = (),
    ) -> None:
        """`env` is the whole environment (this process's when None); `cleanup` commands run after the end.

        `keep_open` are descriptors that the keeper holds until the program has ended: locks.
        """
        self.name = name
        self.log = log or LOGS / f"{name}-{os.getpid()}-{time.monotonic_ns()}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.grace_s = grace_s
        spec = {
            "argv": [str(word) for word in argv],
            "cwd": str(cwd or Path.cwd()),
            "log": str(self.log),
            "grace_s": grace_s,
            "cleanup": [list(command) for command in cleanup],
        }
        with self.log.open("ab") as said:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("keeper.py")), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=None if env is None else dict(env),
                start_new_session=True,
                pass_fds=tuple(keep_open),
            )
        self.pid = self._first_line()

    def _first_line(self) -> int:
        assert self._keeper.stdout is not None
        ready, _, _ = select.select([self._keeper.stdout], [], [], STARTED_S)
        line = self._keeper.stdout.readline() if ready else b""
        if not line.strip().isdigit():
            self.stop()
            raise BedError(self.name, "did not start", f"read what it said:\n{self.tail()}")
        return int(line)

    @property
    def running(self) -> bool:
        """Whether the program, with its keeper's cleaning up, has not ended."""
        return self._keeper.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code; 128 + n when signal n ended it; None while it runs."""
        return self._keeper.poll()

    def output(self) -> str:
        """All it wrote so far, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines it wrote."""
        return "\n".join(self.output().splitlines()[-lines:])

    def wait_for_line(self, pattern: str, *, timeout_s: float = 30.0, start: int = 0) -> re.Match[str]:
        """The first match of `pattern` in the output from character `start` on; fails when it ends."""
        return self.wait_until(
            lambda: re.search(pattern, self.output()[start:], re.MULTILINE),
            timeout_s=timeout_s,
            what=f"a line like {pattern!r}",
        )

    def wait_for_port(self, port: int, *, timeout_s: float = 30.0) -> None:
        """Return when it accepts TCP connections on 127.0.0.1."""
        self.wait_until(lambda: ports.answers(port), timeout_s=timeout_s, what=f"port {port} answers")

    def wait_until(self, condition: Callable[[], T | None], *, timeout_s: float = 30.0, what: str) -> T:
        """The first true value of `condition`; BedError with the output's tail at its end or the deadline."""
        end = time.monotonic() + timeout_s
        while True:
            ended = not self.running
            value = condition()
            if value:
                return value
            if ended or time.monotonic() > end:
                why = f"it ended with {self.returncode}" if ended else f"not within {timeout_s:g} s"
                raise BedError(f"{self.name}, waiting for {what}", why, f"read what it said:\n{self.tail()}")
            time.sleep(TICK_S)

    def signal(self, number: int) -> None:
        """Send a signal to the program itself; nothing when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self.running:
                os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL and wait; its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self, timeout_s: float = 30.0) -> int:
        """Its exit code once it has ended by itself."""
        return self._keeper.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM, after the grace time SIGKILL, then its leftovers and the clean-up; its exit code."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        try:
            return self._keeper.wait(self.grace_s + 60)
        finally:
            self._keeper.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
