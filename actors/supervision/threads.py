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

LINGER_S = 0.05
"""How long a thread without work stays: a restart at once needs far less, and an idle daemon shall have few."""


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
    """One function on a daemon thread, in a copy of the context of whoever made it; the thread may run others later."""

    __slots__ = ("_context", "_ended", "_fn", "_ident", "name")

    def __init__(self, name: str, fn: Callable[[], None]) -> None:
        self.name, self._fn = name, fn
        self._context = contextvars.copy_context()
        self._ident = 0
        self._ended = threading.Lock()
        self._ended.acquire()

    def run(self) -> None:
        """Run the function in this thread, and hold nothing of it afterwards."""
        context, fn = self._context, self._fn
        del self._context, self._fn
        self._ident = threading.get_ident()
        try:
            context.run(fn)
        finally:
            self._ident = 0
            self._ended.release()

    def is_alive(self) -> bool:
        """Whether its function has not returned yet."""
        return self._ended.locked()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when it still runs. A worker does not wait for itself."""
        if self._ident != threading.get_ident() and self._ended.acquire(timeout=max(0.0, timeout_s)):
            self._ended.release()
            return True
        return not self.is_alive()

    def stack(self) -> str:
        """Where the thread is now, innermost call last."""
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001  # the documented way to one thread's frame
        return "".join(traceback.format_stack(frame)) if frame else ""


class Spare:
    """A thread that has nothing to do, and waits a moment for another worker."""

    __slots__ = ("parker", "worker")

    def __init__(self) -> None:
        self.parker = ThreadParker()
        self.worker: ThreadWorker | None = None


class ThreadRuntime:
    """Workers on daemon threads. `seed` makes the random numbers, not the scheduling, repeatable.

    A thread whose worker has ended waits `LINGER_S` for the next one: a crashed actor is followed at once by its
    replacement, and a thread that is there is worth half of the time of a restart.
    """

    def __init__(self, *, seed: int | None = None, stack_bytes: int = 512 * 1024) -> None:
        self.seed = secrets.randbits(64) if seed is None else seed
        self._stack_bytes = stack_bytes
        self._spares: list[Spare] = []
        self._spares_lock = threading.Lock()
        self.now: Callable[[], float] = time.monotonic
        self.lock = threading.Lock
        self.parker = ThreadParker

    def rng(self, name: str) -> random.Random:
        """A generator of its own for `name`."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311  # jitter, not secrets

    def spawn(self, name: str, fn: Callable[[], None]) -> ThreadWorker:
        """Start a worker with a copy of the caller's context variables."""
        worker = ThreadWorker(name, fn)
        with self._spares_lock:
            spare = self._spares.pop() if self._spares else None
            if spare is not None:
                spare.worker = worker
        if spare is not None:
            spare.parker.unpark()
            return worker
        threading.stack_size(self._stack_bytes)  # each time: merely reading it sets it back to the default
        threading.Thread(target=self._work, args=([worker],), name=name, daemon=True).start()
        return worker

    def _work(self, first: list[ThreadWorker]) -> None:
        """The life of one thread: its first worker, and whichever comes while it waits."""
        thread, worker = threading.current_thread(), first.pop()
        while True:
            worker.run()
            thread.name = "spare"
            spare = Spare()
            with self._spares_lock:
                self._spares.append(spare)
            spare.parker.park(LINGER_S)
            with self._spares_lock:
                if spare.worker is None:
                    self._spares.remove(spare)
                    return
            worker = spare.worker
            thread.name = worker.name
