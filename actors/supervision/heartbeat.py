"""The ping to systemd's watchdog: only while the tree is healthy, so that a stuck daemon is restarted."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runtime import Worker
    from .sd_notify import Notifier
    from .system import System


class Heartbeat:
    """Pings at a third of systemd's limit. A beat that finds the tree unhealthy sends nothing."""

    def __init__(self, system: "System", notifier: "Notifier") -> None:
        self._system, self._notifier = system, notifier
        self._parker = system.runtime.parker()
        self._worker: Worker | None = None
        self._ended = False
        self.missed = 0
        """Beats without a ping, in a row."""

    def start(self) -> None:
        """Begin, if systemd expects pings of this process."""
        if self._notifier.ping_every_s is not None:
            self._worker = self._system.runtime.spawn("heartbeat", self._run)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End."""
        self._ended = True
        self._parker.unpark()
        return self._worker is None or self._worker.join(timeout_s)

    def beat(self) -> bool:
        """Ping if the tree is healthy; whether it was."""
        healthy = self._system.healthy()
        if healthy:
            self._notifier.ping()
        self.missed = 0 if healthy else self.missed + 1
        return healthy

    def _run(self) -> None:
        while not self._ended:
            self.beat()
            self._parker.park(self._notifier.ping_every_s)
