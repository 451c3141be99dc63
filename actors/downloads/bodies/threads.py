"""Threads that go on with what their maker was doing: their lines of the log carry its command's id."""

import contextvars
import threading
from collections.abc import Callable


def started(run: Callable[[], None], name: str) -> threading.Thread:
    """A thread of a transfer, in a copy of the caller's context variables; the caller joins it."""
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=f"transfer/{name}")
    thread.start()
    return thread
