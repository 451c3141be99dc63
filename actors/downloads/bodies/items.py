"""What the crew gives its threads to do."""

from dataclasses import dataclass
from typing import Protocol

from .job import Job
from .mirrors import Mirror


class Taker(Protocol):
    """A worker, as far as the crew looks at it."""

    number: int
    rest_until: float


@dataclass(slots=True)
class Item:
    """What a worker does next: a block, and those behind it that come by the same answer."""

    job: Job
    mirror: Mirror
    index: int
    view: memoryview
    filled: int
    """Bytes of the block that the partial file has."""
    behind: int = 0
    """Blocks directly behind it that are promised to the same worker."""
    stream: bool = False
    """The whole file in one answer; `index` and `view` mean nothing."""
    tag: str = ""
    """Of the answer: another one may have told of another version since."""


@dataclass(frozen=True, slots=True)
class Write:
    """What a writer does next: a block that is whole in memory, from byte `begin` of it on."""

    item: Item
    begin: int
