"""The wall clock, as an argument. The monotonic clock of an actor comes from its context."""

import time
from collections.abc import Callable

WallClock = Callable[[], float]
"""Seconds since the epoch, UTC."""


def system_wall_clock() -> float:
    """Seconds since the epoch, from the machine's clock."""
    return time.time()


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds, the unit of the wire."""
    return int(seconds * 1000)
