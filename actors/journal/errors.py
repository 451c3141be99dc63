"""What can go wrong with the journal's file.

JournalError
├── JournalBusyError      not written now (disk full, read-only, locked): try again later
├── JournalCorruptError   the file is damaged: it may be set aside
└── JournalNewerError     the file is whole and from a newer version: nobody may set it aside
"""

from dataclasses import dataclass


@dataclass
class JournalError(Exception):
    """Something about the file; `do` says what a person can do."""

    file: str
    why: str
    do: str

    def __str__(self) -> str:
        """Which file, why, what to do."""
        return f"{self.file}: {self.why}; {self.do}"


class JournalBusyError(JournalError):
    """The write did not happen; nothing was acknowledged."""


class JournalCorruptError(JournalError):
    """The file cannot be trusted."""


class JournalNewerError(JournalError):
    """The file holds what only a newer version understands; beginning a new one would forget accepted commands."""
