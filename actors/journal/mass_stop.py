"""When a stop of an engine must be confirmed: many in a short time are a mistake, or somebody else's work. Pure.

No message names more than one engine, so what stops a machine's service is a burst of stops. The one that would take
it over the bound is refused; whoever means it says so in the command (`confirmed`), which is signed as a whole.
"""

from collections.abc import Collection
from dataclasses import dataclass

from config.journal import JournalSettings


@dataclass(frozen=True, slots=True)
class Burst:
    """What a stop would make of it."""

    stopped: int
    """Engines that would be stopped within the window, this one with them."""
    of: int
    """Engines that ran at its beginning."""


class Stops:
    """The stops of the last while."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._at: dict[str, float] = {}

    def ask(self, name: str, running: Collection[str], now_s: float, *, confirmed: bool) -> Burst | None:
        """Remember the stop of an engine that runs; what it would make of it, when that has to be confirmed first."""
        since = now_s - self._settings.stops_window_s
        self._at = {known: at for known, at in self._at.items() if at > since}
        if name not in running:
            return None
        stopped, before = {*self._at, name}, {*self._at, *running}
        most = max(self._settings.stops_unconfirmed_max, int(len(before) * self._settings.stops_unconfirmed_share))
        if len(stopped) > most and not confirmed:
            return Burst(len(stopped), len(before))
        self._at[name] = now_s
        return None
