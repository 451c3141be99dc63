"""How long to wait before a restart, and whether a failure budget is spent. Pure: time is an argument."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from .spec import Backoff

EXPONENT_MAX = 32
"""Beyond it every factor above 1 has long met the cap, and below it no float overflows."""


def base_delay_s(backoff: Backoff, failures: int) -> float:
    """Seconds before the restart after the `failures`-th failure in a row, without jitter; at most max_s."""
    step = failures - 2 if backoff.immediate_first else failures - 1
    if step < 0:
        return 0.0
    return min(backoff.max_s, backoff.min_s * backoff.factor ** min(step, EXPONENT_MAX))


def delay_s(backoff: Backoff, failures: int, rng: Random) -> float:
    """The delay with its jitter, which only shortens: within [(1 - jitter) * base, base]."""
    base = base_delay_s(backoff, failures)
    return base * (1.0 - backoff.jitter * rng.random()) if base else 0.0


def longest_s(backoff: Backoff, failures: int) -> float:
    """The most seconds that `failures` failures in a row can spend waiting."""
    growing = min(failures, EXPONENT_MAX + 2)
    settled = (failures - growing) * base_delay_s(backoff, EXPONENT_MAX + 2)
    return sum(base_delay_s(backoff, n) for n in range(1, growing + 1)) + settled


@dataclass(slots=True)
class Window:
    """Failures within the last `period_s` seconds; one exactly at the edge still counts, as in OTP."""

    count: int
    period_s: float
    times: deque[float] = field(default_factory=deque)

    def add(self, now: float) -> bool:
        """Count a failure at `now`; True when that is one more than `count`."""
        self._forget(now)
        self.times.append(now)
        return len(self.times) > self.count

    def within(self, now: float) -> int:
        """How many failures are in the window at `now`; changes nothing, so any thread may ask."""
        return sum(1 for time in tuple(self.times) if time >= now - self.period_s)

    def _forget(self, now: float) -> None:
        while self.times and self.times[0] < now - self.period_s:
            self.times.popleft()
