"""What the manager and its transfers say to each other."""

from dataclasses import dataclass

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
class LeasesChanged:
    """To the manager: a version was leased or released."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """To a transfer: end; what is there is kept."""
