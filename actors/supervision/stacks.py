"""Where every thread is: on SIGUSR1, and before a process ends that cannot go on."""

import faulthandler
import os
import signal
import sys
import threading
import traceback
from typing import TextIO


def dump_on_signal(file: TextIO | None = None, number: int = signal.SIGUSR1) -> None:
    """Write all stacks to `file` (standard error) on a signal; works even when every Python thread hangs."""
    faulthandler.enable(file or sys.stderr)
    faulthandler.register(number, file or sys.stderr, all_threads=True, chain=False)


def all_stacks() -> str:
    """Every thread by name, with its stack, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  # the documented way to the frames
        parts += [f"-- {names.get(ident, ident)}\n", *traceback.format_stack(frame)]
    return "".join(parts)


def exit_process(code: int, cause: str) -> None:
    """End the process at once: an orderly end would wait for threads that do not come back."""
    sys.stderr.write(f"ending with code {code}: {cause}\n{all_stacks()}")
    sys.stderr.flush()
    os._exit(code)
