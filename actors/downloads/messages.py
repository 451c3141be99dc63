"""What the manager and its transfers say to each other."""

from dataclasses import dataclass

from actors.downloads.collection import Doomed
from actors.facts import TransferFacts
from protocol.messages.reports import Failure


@dataclass(frozen=True, slots=True)
class TransferChanged:
    """To the manager: how far a transfer is."""

    facts: TransferFacts


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """To the manager: the version is published, or why it is not."""

    transfer_id: str
    failure: Failure | None
    data: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Collected:
    """To the manager: this had to go so that something else fits."""

    doomed: tuple[Doomed, ...]


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """To the manager: a version appeared, went, was leased or released."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """To a transfer: end; what is there is kept."""
