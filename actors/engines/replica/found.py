"""What follows from what is wanted and what Docker shows: desired and observed in, one action out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.engines.containers_api import Observed


@dataclass(frozen=True, slots=True)
class Adopt:
    """This container is the wanted one."""

    seen: Observed


@dataclass(frozen=True, slots=True)
class Clear:
    """These make room: they are old, dead, or do not serve."""

    containers: tuple[Observed, ...]


@dataclass(frozen=True, slots=True)
class Examine:
    """The container that ran has ended; why?"""

    container_id: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Nothing is there."""


Action = Adopt | Clear | Examine | Launch


def decide(found: Sequence[Observed], generation: int, known: str | None, condemned: str | None) -> Action:
    """The next action.

    `known` is the container that the actor holds for running, `condemned` one that may run but does not serve.
    """
    ours = [seen for seen in found if seen.generation == generation]
    running = [seen for seen in ours if seen.running and seen.container_id != condemned]
    left = tuple(seen for seen in found if seen not in running[:1])
    if running and not left:
        return Adopt(running[0])
    if not running and any(seen.container_id == known and not seen.running for seen in ours):
        return Examine(str(known))
    return Clear(left) if left else Launch()
