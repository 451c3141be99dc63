"""A flag that blocking work looks at, waits on, and tells time by; the way of a task to the runtime's clock."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runtime import Parker, Runtime


class Flag:
    """Set once, seen by any number of threads; `wait` is the only sleep that a task may take."""

    __slots__ = ("_lock", "_runtime", "_set", "_waiters", "now")

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self.now = runtime.now
        """Monotonic seconds of the same clock that `wait` waits by."""
        self._lock = runtime.lock()
        self._waiters: list[Parker] = []
        self._set = False

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def set(self) -> None:
        """Set it and wake whoever waits; never blocks, never raises."""
        with self._lock:
            self._set = True
            waiters, self._waiters = self._waiters, []
        for parker in waiters:
            parker.unpark()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, at most `timeout_s` seconds; whether it is set."""
        parker = self._runtime.parker()
        with self._lock:
            if self._set:
                return True
            self._waiters.append(parker)
        parker.park(max(0.0, timeout_s))
        with self._lock:
            if parker in self._waiters:
                self._waiters.remove(parker)
        return self._set
