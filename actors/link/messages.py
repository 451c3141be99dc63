"""What the link's loop tells the link's actor."""

from dataclasses import dataclass

from protocol.agent_session import Commanded

from .outgoing import Item


@dataclass(frozen=True, slots=True)
class SessionUp:
    """A session stands; the master has our stream up to `received_offset`."""

    session: int
    master: str
    agent_id: str
    received_offset: int
    skew_ms: int
    own_offset: int
    """We said in the handshake that we have the master's stream up to here."""
    believed_offset: int
    """What the master can have of our stream at most."""
    keyset_expires_ms: int = 0


@dataclass(frozen=True, slots=True)
class SessionDown:
    """There is no session; `state` is a word of LinkChanged, the next try comes in `next_try_in_s`."""

    state: str
    why: str
    next_try_in_s: float | None
    agent_id: str | None


@dataclass(frozen=True, slots=True)
class Got:
    """A verified command of the master; `at_ms` is the master's clock as it is estimated here."""

    session: int
    commanded: Commanded
    at_ms: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A message of the master's stream that was refused for its content and needs no answer on disk."""

    session: int
    offset: int


@dataclass(frozen=True, slots=True)
class PeerHas:
    """The master has our stream on its disk up to this offset."""

    session: int
    offset: int


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """Something of the master was refused; with `fatal` the session ended by it. Words are ours, never input."""

    code: str
    detail: str
    field: str | None
    fatal: bool


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """The master knows this key of ours."""

    kid: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """Chunks of streams that were sent or dropped."""

    items: tuple[Item, ...]
    sent: bool


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """Asked: the latest LinkChanged."""
