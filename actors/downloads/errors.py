"""Why a model did not arrive, split by who can mend it.

DownloadError
├── SourceError     the source has no such thing, or does not let us have it
├── TransferError   the way is broken: try again
├── SpaceError      this machine has no room
├── StoreError      the store cannot do what was asked
└── WrongBytesError what arrived is not what was promised
"""

from dataclasses import dataclass

from protocol.messages.reports import Failure


@dataclass
class DownloadError(Exception):
    """What happened, why, what to do; `retry` when trying again may help."""

    code: str
    what: str
    why: str = ""
    do: str = ""
    retry: bool = False

    def failure(self) -> Failure:
        """The same for the wire."""
        return Failure(code=self.code, what=self.what[:4_000], why=self.why[:4_000], do=self.do[:4_000])

    def __str__(self) -> str:
        """One line."""
        return ": ".join(part for part in (self.what, self.why) if part)


class SourceError(DownloadError):
    """The source cannot give it."""


class TransferError(DownloadError):
    """It broke on the way."""


class SpaceError(DownloadError):
    """No room."""


class StoreError(DownloadError):
    """The store has no such thing, will not give it up, or is not ours."""


class WrongBytesError(DownloadError):
    """The bytes are not those that were promised."""
