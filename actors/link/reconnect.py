"""When to try again, and where. Pure: time and chance are arguments.

Full jitter up to a doubling cap, so that a thousand agents do not come back in one second; the first try within a few
seconds; forgotten after a stable session; hourly when the master has said that it does not want us.

A master that said goodbye told the pace at which it takes its agents back, and nobody knows how long it is away: who
comes too early tries again at that pace for a while, and is not punished for it.
"""

from dataclasses import dataclass
from random import Random

from config.link import LinkSettings

FIRST_CAP_S = 1.0
EXPONENT_MAX = 16
RETURN_TRIES = 8
"""At the pace that the master asked for; after these it is away, and the cap doubles from its beginning."""


@dataclass(slots=True)
class Reconnect:
    """The history that the next delay depends on."""

    settings: LinkSettings
    failures: int = 0
    spread_s: float | None = None
    """What the master asked for when it said goodbye: come back within this time."""
    after_s: float = 0.0
    tries_left: int = 0
    """Of those at the master's pace."""
    unpunished: int = 0
    """Failures that do not double the cap."""

    def address(self) -> str:
        """The master to try now: each failure moves to the next."""
        masters = self.settings.masters
        return masters[self.failures % len(masters)]

    def ended(self, session_s: float) -> None:
        """A session ended after this many seconds; a stable one clears the history."""
        if self.tries_left != RETURN_TRIES:
            self.spread_s = None  # what an earlier goodbye asked for; this session ended without one
        if session_s >= self.settings.stable_after_s:
            self.failures = self.unpunished = 0
        else:
            self.failures += 1

    def failed(self) -> None:
        """An attempt ended without a session."""
        self.failures += 1

    def asked(self, after_s: float, spread_s: float) -> None:
        """The master said goodbye and when to come back."""
        self.after_s, self.spread_s, self.tries_left = after_s, spread_s, RETURN_TRIES

    def delay_s(self, rng: Random, *, slow: bool) -> float:
        """Seconds until the next attempt."""
        if slow:
            return self.settings.refused_retry_s * (0.9 + 0.2 * rng.random())
        if self.spread_s is not None:
            return self._returning_s(rng, self.spread_s)
        failures = self.failures - self.unpunished
        if failures <= 1:
            return rng.uniform(0.0, min(self.settings.first_retry_max_s, self.settings.retry_max_s))
        cap = min(self.settings.retry_max_s, FIRST_CAP_S * 2.0 ** min(failures, EXPONENT_MAX))
        return rng.uniform(0.0, cap)

    def _returning_s(self, rng: Random, spread_s: float) -> float:
        delay = self.after_s + rng.uniform(0.0, spread_s)
        self.after_s, self.tries_left = 0.0, self.tries_left - 1
        if self.tries_left == 0:
            self.spread_s, self.unpunished = None, self.failures
        return delay
