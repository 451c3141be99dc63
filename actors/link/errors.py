"""Why there is no session, split by who can mend it.

LinkError
├── EnrollError        the master refused this machine, or it has no token
├── NotReachedError    no connection: network, TLS, a master that is down
│   └── NotTakenError      the master answered and does not take this token
└── DroppedError       there was a connection and it ended
"""

from dataclasses import dataclass


@dataclass
class LinkError(Exception):
    """No session; `slow` means that trying soon cannot help."""

    why: str
    slow: bool = False

    def __str__(self) -> str:
        """Why."""
        return self.why


class EnrollError(LinkError):
    """Enrollment did not succeed."""


class NotReachedError(LinkError):
    """No connection was made."""


class NotTakenError(NotReachedError):
    """The master answered the upgrade with a refusal."""


class DroppedError(LinkError):
    """The connection ended."""
