"""How many connections: more while more of them bring more, fewer when a server asks for peace. Pure."""

from dataclasses import dataclass

FEWEST, FIRST = 2, 4
GAIN = 1.10
"""More connections must bring so much more to be kept."""
PERIOD_S = 1.0
HOLD_PERIODS = 10
"""After a step that brought nothing, no other is tried for so long."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """The state after one period."""

    connections: int
    before: int = 0
    """Connections before the step that is being judged; 0 when none is."""
    rate_before: float = 0.0
    hold: int = 0


def adapt(state: Adapted, rate_bytes_s: float, most: int, *, refused: bool = False) -> Adapted:
    """After a period with that rate; `refused` when a server said 429 or 503 in it."""
    now = state.connections
    if refused:
        return Adapted(max(min(FEWEST, most), now // 2), hold=HOLD_PERIODS)
    if state.before:
        if rate_bytes_s < state.rate_before * GAIN:
            return Adapted(state.before, hold=HOLD_PERIODS)
    elif state.hold:
        return Adapted(now, hold=state.hold - 1)
    if now >= most:
        return Adapted(most)
    return Adapted(min(most, now + max(2, now // 2)), before=now, rate_before=rate_bytes_s)
