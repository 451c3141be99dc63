"""What happened in the tree, newest kept: the list that `mosalamaagent tree` shows, and one callback."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runtime import Runtime


@dataclass(frozen=True, slots=True)
class SupervisionEvent:
    """One event. `at` is monotonic seconds; str(detail) may be several lines (a traceback), made when it is shown."""

    seq: int
    at: float
    path: str
    kind: str
    severity: str = "info"
    incarnation: int = 0
    reason: str = ""
    detail: object = ""
    next_try_s: float | None = None


class EventLog:
    """A ring of the last `kept` events. `observer` is called from any thread and must not block."""

    def __init__(self, runtime: "Runtime", kept: int, observer: Callable[[SupervisionEvent], None] | None) -> None:
        self._runtime, self._observer = runtime, observer
        self._ring: deque[SupervisionEvent] = deque(maxlen=kept)
        self._lock = runtime.lock()
        self._seq = 0
        self.observer_failures = 0

    def emit(
        self,
        path: str,
        kind: str,
        *,
        severity: str = "info",
        incarnation: int = 0,
        reason: str = "",
        detail: object = "",
        next_try_s: float | None = None,
    ) -> None:
        """Keep an event, and tell the observer; a failing observer is counted, never raised."""
        with self._lock:
            self._seq += 1
            event = SupervisionEvent(
                self._seq, self._runtime.now(), path, kind, severity, incarnation, reason, detail, next_try_s
            )
            self._ring.append(event)
        if self._observer is not None:
            try:
                self._observer(event)
            except BaseException:  # noqa: BLE001  # an observer's fault must not reach an actor
                self.observer_failures += 1

    def after(self, seq: int) -> tuple[SupervisionEvent, ...]:
        """The kept events with a higher number, oldest first."""
        with self._lock:
            return tuple(event for event in self._ring if event.seq > seq)
