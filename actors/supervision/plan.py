"""What a supervisor is in the middle of: whom to stop, in reverse, and then whom to start, in order. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """What the supervisor as a whole is doing."""

    BOOTING = "booting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(slots=True)
class Plan:
    """Ids of children. Nothing is started while something is to be stopped, or while it waits."""

    to_stop: set[str] = field(default_factory=set)
    to_start: set[str] = field(default_factory=set)
    starting: str | None = None
    """The child whose Ready it waits for."""
    gate: str | None = None
    """The child whose backoff it waits for."""

    @property
    def waits(self) -> bool:
        """Whether the next start has to wait."""
        return self.starting is not None or self.gate is not None

    def done(self, name: str) -> None:
        """This start is over, well or not."""
        if self.starting == name:
            self.starting = None

    def drop(self, name: str) -> None:
        """This child has no part in it any more."""
        self.done(name)
        if self.gate == name:
            self.gate = None
        self.to_stop.discard(name)
        self.to_start.discard(name)

    def last_to_stop(self, order: Iterable[str]) -> str:
        """The next one to stop; `order` is the start order."""
        return next(name for name in reversed(list(order)) if name in self.to_stop)

    def first_to_start(self, order: Iterable[str]) -> str | None:
        """The next one to start."""
        return next((name for name in order if name in self.to_start), None)
