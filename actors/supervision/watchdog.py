"""The watchdog: one worker that scans the progress slots. It kills nobody; it tells what it sees."""

from typing import TYPE_CHECKING

from .death import Death
from .signals import Down, Hung, Kind

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .runtime import Worker
    from .services import Services

IDLE_SCANS = 6
"""Intervals between two scans while nobody works."""


class Watchdog:
    """Scans every `scan_interval_s` while somebody works; after a gap (a suspended host) ages count from the scan.

    While nobody does it scans more rarely, yet soon enough that what begins meanwhile is found no later.
    """

    def __init__(self, services: "Services") -> None:
        self._services = services
        self._runtime = services.runtime
        self._interval_s = services.settings.scan_interval_s
        self._parker = services.runtime.parker()
        self._worker: Worker | None = None
        self._ended = False
        self._last_scan = services.runtime.now()
        self._pause_s = self._interval_s
        self._forgive_before = 0.0
        self.overdue: tuple[str, ...] = ()
        """Paths of critical actors that are over the limit of their message."""

    def start(self) -> None:
        """Start the worker."""
        self._worker = self._runtime.spawn("watchdog", self._run)

    def stop(self, timeout_s: float) -> bool:
        """End the worker."""
        self._ended = True
        self._parker.unpark()
        return self._worker is None or self._worker.join(timeout_s)

    def alive(self) -> bool:
        """Whether it scans, and did so lately."""
        lately = self._runtime.now() - self._last_scan < self._pause_s + 9 * self._interval_s
        return self._worker is not None and self._worker.is_alive() and lately

    def _run(self) -> None:
        while not self._ended:
            self.scan()
            self._parker.park(self._pause_s)

    def scan(self) -> None:
        """Look at every incarnation once."""
        now = self._runtime.now()
        if now - self._last_scan > self._pause_s + 2 * self._interval_s:
            self._forgive_before = now
        self._last_scan = now
        overdue: list[str] = []
        pause_s = IDLE_SCANS * self._interval_s
        for incarnation in list(self._services.live.values()):
            since = incarnation.busy_since
            if since:
                pause_s = self._interval_s
                if self._late(incarnation, since, now) and incarnation.spec.critical:
                    overdue.append(incarnation.cell.path)
            elif incarnation.patience_s < pause_s:
                pause_s = incarnation.patience_s
            worker = incarnation.worker
            if worker is not None and not worker.is_alive():
                self._lost(incarnation)
        self.overdue = tuple(overdue)
        self._pause_s = max(self._interval_s, pause_s)

    def _late(self, incarnation: "Incarnation", since: float, now: float) -> bool:
        message = incarnation.message
        busy_s = now - max(since, self._forgive_before)
        limit_s = incarnation.limit_s
        if limit_s is None:
            limit_s = incarnation.spec.hang.limit_s(message)
        if message is None or busy_s <= limit_s:
            return False
        if not incarnation.hung and not incarnation.fenced:
            incarnation.hung = True
            name = "cleanup" if isinstance(message, Death) else type(message).__name__
            stack = incarnation.worker.stack() if incarnation.worker is not None else ""
            incarnation.tell_boss(Hung(incarnation.spec.id, incarnation.number, name, busy_s, stack))
        return True

    def _lost(self, incarnation: "Incarnation") -> None:
        """A worker that ended without a word: the loop itself failed."""
        if self._services.live.pop(id(incarnation), None) is not None and not incarnation.fenced:
            incarnation.send_down(Down(incarnation.spec.id, incarnation.number, Kind.LOST, "its thread ended silently"))
