"""Runs one program and outlives whoever asked for it just long enough to stop it and clean up.

A program of its own (standard library only), so that what the bed starts is stopped also when the test run
is killed with SIGKILL. It lives in a session of its own: Ctrl-C reaches the owner, not the program.

Argument: one JSON object {argv, cwd, log, grace_s, cleanup: [argv, ...]}; its environment is the program's.
Standard input: a pipe held open by the owner; when it closes the program gets SIGTERM, after grace_s SIGKILL.
Standard output: the program's process id, one line.
Exit code: the program's, 128 + n when signal n ended it.
It is a subreaper: processes that the program leaves behind are killed before it ends.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
TICK_S = 0.05
LEFTOVERS_S = 5.0
CLEANUP_S = 10.0


def main() -> int:
    """See the module."""
    spec = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        code = _run(spec)
        _end_leftovers()
    finally:
        for argv in spec["cleanup"]:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(argv, check=False, timeout=CLEANUP_S, stdin=subprocess.DEVNULL)
    return code


def _run(spec: dict[str, Any]) -> int:
    with Path(spec["log"]).open("ab") as log:
        program = subprocess.Popen(
            spec["argv"],
            cwd=spec["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_default_signals,  # noqa: PLW1509 - this process has one thread
        )
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.flush()
    os.dup2(os.open(spec["log"], os.O_WRONLY | os.O_APPEND), 1)  # the owner may go; cleanup still may speak
    if _until_ended(program.pid) is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGTERM)
        if _wait(program.pid, spec["grace_s"]) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program.pid, signal.SIGKILL)
            _wait(program.pid, LEFTOVERS_S)
    code = _ended.get(program.pid, -signal.SIGKILL)
    return 128 - code if code < 0 else code


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


_ended: dict[int, int] = {}


def _reap() -> None:
    """Collect every ended child, ours or orphaned to us."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _ended[pid] = os.waitstatus_to_exitcode(status)


def _until_ended(pid: int) -> int | None:
    """The program's exit code, or None when the owner closed the pipe first."""
    while True:
        readable, _, _ = select.select([0], [], [], TICK_S)
        _reap()
        if pid in _ended:
            return _ended[pid]
        if readable and not os.read(0, 4096):
            return None


def _wait(pid: int, limit_s: float) -> int | None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        _reap()
        if pid in _ended:
            return _ended[pid]
        time.sleep(TICK_S)
    return None


def _end_leftovers() -> None:
    """Kill what the program left behind: every process that is now our child, again until none is left."""
    end = time.monotonic() + LEFTOVERS_S
    while time.monotonic() < end:
        _reap()
        left = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(TICK_S)


if __name__ == "__main__":
    sys.exit(main())
