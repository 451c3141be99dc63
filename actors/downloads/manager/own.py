"""What the manager says to itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """Is the store too full, is a verification due?"""


@dataclass(frozen=True, slots=True)
class Gone:
    """Behind whatever a transfer still said: its actor ended for good."""

    transfer_id: str
