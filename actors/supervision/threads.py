"""The runtime of production: daemon threads, the monotonic clock, locks."""

import contextlib
import contextvars
import random
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable


class ThreadParker:
    """A lock that is free exactly when a wake is pending; a Condition would make a new lock for each wait."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()

    def park(self, timeout_s: float | None) -> bool:
        """Wait until woken; False when the time passed first."""
        if timeout_s is None:
            return self._gate.acquire()
        return self._gate.acquire(timeout=max(0.0, min(timeout_s, threading.TIMEOUT_MAX)))

    def unpark(self) -> None:
        """Wake; a second wake before the wait changes nothing."""
        with contextlib.suppress(RuntimeError):
            self._gate.release()


class ThreadWorker:
    """A daemon thread that was started."""

    __slots__ = ("_thread", "name")

    def __init__(self, thread: threading.Thread) -> None:
        self._thread, self.name = thread, thread.name

    def is_alive(self) -> bool:
        """Whether its function has not returned yet."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when it still runs. A thread does not wait for itself."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stack(self) -> str:
        """Where the thread is now, innermost call last."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  # the documented way to one thread's frame
        return "".join(traceback.format_stack(frame)) if frame else ""


class ThreadRuntime:
    """One daemon thread a worker. `seed` makes the random numbers, not the scheduling, repeatable."""

    def __init__(self, *, seed: int | None = None, stack_bytes: int = 512 * 1024) -> None:
        self.seed = secrets.randbits(64) if seed is None else seed
        self._stack_bytes = stack_bytes
        self.now: Callable[[], float] = time.monotonic
        self.lock = threading.Lock
        self.parker = ThreadParker

    def rng(self, name: str) -> random.Random:
        """A generator of its own for `name`."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311  # jitter, not secrets

    def spawn(self, name: str, fn: Callable[[], None]) -> ThreadWorker:
        """Start a daemon thread with a copy of the caller's context variables."""
        threading.stack_size(self._stack_bytes)  # each time: merely reading it sets it back to the default
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(fn,), name=name, daemon=True)
        thread.start()
        return ThreadWorker(thread)
