"""Whether a command to end or restart an engine is followed, given the one before it. Pure."""

from collections.abc import Set as AbstractSet
from enum import StrEnum

from actors.engines.messages import RestartEngine, StopEngine


class Order(StrEnum):
    """What becomes of a command."""

    OBEY = "obey"
    KNOWN = "known"
    """It is being done."""
    DONE = "done"
    """It was done before: its end is told again."""
    LATE = "late"
    """Another command rules already."""
    BUSY = "busy"
    """An update is under way."""


def follow(
    before: StopEngine | RestartEngine | None,
    ask: StopEngine | RestartEngine,
    done: AbstractSet[str],
    *,
    updating: bool,
    stopped: bool = False,
) -> Order:
    """`before` is what is being done; `done` are ids of commands whose container is here."""
    if before is not None and before.command_id == ask.command_id:
        return Order.KNOWN
    if isinstance(ask, StopEngine):
        return Order.OBEY
    if ask.command_id in done:
        return Order.DONE
    if isinstance(before, StopEngine) or stopped:
        return Order.LATE
    return Order.BUSY if updating else Order.OBEY
