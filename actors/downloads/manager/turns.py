"""Verifications take turns: one reads at a time, the others wait in the order they came. Pure."""

from collections import deque

from actors.downloads.manager.checking import Check


class Turns:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._waiting: deque[Check] = deque()
        self.running: Check | None = None

    def add(self, check: Check) -> None:
        """One more; a command that comes again waits once."""
        known = {one.command_id for one in (*self._waiting, self.running) if one is not None}
        if check.command_id is None or check.command_id not in known:
            self._waiting.append(check)

    def begin(self) -> Check | None:
        """The one that begins now; None while another runs or none waits."""
        if self.running is not None or not self._waiting:
            return None
        self.running = self._waiting.popleft()
        return self.running

    def end(self) -> Check | None:
        """The one that ran has ended."""
        ended, self.running = self.running, None
        return ended
