"""How far a transfer is, as lines of the log: each new state at once, and while it goes on one line in LOG_S."""

from actors.downloads.bodies.api import Progress

LOG_S = 10.0


class Voice:
    """Says which progress is worth a line. Seconds are monotonic."""

    def __init__(self) -> None:
        self._state, self._said_at = "", 0.0

    def line(self, progress: Progress, now: float) -> dict[str, str | int] | None:
        """What the line says: bytes, bytes a second, seconds left; None when it is too early for one."""
        if progress.state == self._state and now - self._said_at < LOG_S:
            return None
        self._state, self._said_at = progress.state, now
        said: dict[str, str | int] = {"state": progress.state, "done_bytes": progress.done_bytes}
        if progress.total_bytes:  # else nobody knows
            said["total_bytes"] = progress.total_bytes
        if progress.rate_bytes_s is not None:
            said["rate_bytes_s"] = round(progress.rate_bytes_s)
        if progress.eta_s is not None:
            said["eta_s"] = round(progress.eta_s)
        return said | ({"why": progress.why} if progress.why else {})
