"""When to try again, and where. Pure: time and chance are arguments.

Full jitter up to a doubling cap, so that a thousand agents do not come back in one second; the first try within a few
seconds; forgotten after a stable session; hourly when the master has said that it does not want us.
"""

from dataclasses import dataclass
from random import Random

from config.link import LinkSettings

FIRST_CAP_S = 1.0
EXPONENT_MAX = 16


@dataclass(slots=True)
class Reconnect:
    """The history that the next delay depends on."""

    settings: LinkSettings
    failures: int = 0
    spread_s: float | None = None
    """What the master asked for when it said goodbye: come back within this time."""
    after_s: float = 0.0

    def address(self) -> str:
        """The master to try now: each failure moves to the next."""
        masters = self.settings.masters
        return masters[self.failures % len(masters)]

    def ended(self, session_s: float) -> None:
        """A session ended after this many seconds; a stable one clears the history."""
        if session_s >= self.settings.stable_after_s:
            self.failures = 0
        else:
            self.failures += 1

    def failed(self) -> None:
        """An attempt ended without a session."""
        self.failures += 1

    def asked(self, after_s: float, spread_s: float) -> None:
        """The master said goodbye and when to come back."""
        self.after_s, self.spread_s = after_s, spread_s

    def delay_s(self, rng: Random, *, slow: bool) -> float:
        """Seconds until the next attempt."""
        if slow:
            return self.settings.refused_retry_s * (0.9 + 0.2 * rng.random())
        if self.spread_s is not None:
            delay = self.after_s + rng.uniform(0.0, self.spread_s)
            self.spread_s, self.after_s = None, 0.0
            return delay
        if self.failures <= 1:
            return rng.uniform(0.0, min(self.settings.first_retry_max_s, self.settings.retry_max_s))
        cap = min(self.settings.retry_max_s, FIRST_CAP_S * 2.0 ** min(self.failures, EXPONENT_MAX))
        return rng.uniform(0.0, cap)
