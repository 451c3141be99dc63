"""What the link's actor talks to the master through, and what that needs of the world: real, or simulated."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from actors.clock import WallClock
from protocol.keys import KeyPair
from protocol.messages.reports import Inventory

from .identity import IdentityFiles
from .outgoing import Item


@dataclass(frozen=True, slots=True)
class Bridge:
    """What the loop needs of the world."""

    tell: Callable[[object], None]
    wall: WallClock
    inventory: Callable[[], Inventory]
    files: IdentityFiles
    rng: Random


class Conversation(Protocol):
    """What the actor talks to the master through: a loop with a socket, or a simulated one."""

    def run(self) -> None:
        """Until stopped; whatever ends a session is told, never raised."""
        ...

    def put(self, item: Item) -> None:
        """Send this when there is a session."""
        ...

    def acknowledge(self, offset: int) -> None:
        """The master's stream is on our disk up to here."""
        ...

    def drop(self, why: str) -> None:
        """End this session and begin another."""
        ...

    def rotate(self, key: KeyPair) -> None:
        """Bring this next key to the master, in this session or the next."""
        ...

    def stop(self) -> None:
        """End `run` soon."""
        ...
