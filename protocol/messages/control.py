"""What keeps a session alive and in order, in both directions."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import Count, Message, Milliseconds, ShortText

Nonce = Annotated[bytes, Field(min_length=32, max_length=32)]
Feature = ShortText
Chain = Annotated[tuple[Annotated[bytes, Field(max_length=12_000)], ...], Field(max_length=8)]


class Hello(Message):
    """First frame of the agent: who it is, and what it knows."""

    TYPE: ClassVar[str] = "hello"
    versions: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]
    agent_id: ShortText
    nonce: Nonce
    at_ms: Milliseconds
    boot_id: ShortText
    instance_id: ShortText
    certificate_sha256: Annotated[bytes, Field(max_length=32)] = b""
    keyset_version: Count
    features: Annotated[tuple[Feature, ...], Field(max_length=32)] = ()
    received_offset: Count
    """Highest offset of the master's stream that is on the agent's disk."""


class Challenge(Message):
    """Answer of the master: the version and features both have, and where to go on."""

    TYPE: ClassVar[str] = "challenge"
    version: int
    nonce: Nonce
    at_ms: Milliseconds
    session_id: Annotated[bytes, Field(min_length=16, max_length=16)]
    features: Annotated[tuple[Feature, ...], Field(max_length=32)] = ()
    received_offset: Count
    """Highest offset of the agent's stream that is on the master's disk."""
    keyset: Annotated[bytes, Field(max_length=12_000)] | None = None
    """A newer keyset document, if there is one."""
    chain: Chain = ()
    """Every document between the agent's and `keyset` that changed the roots, oldest first."""


class Auth(Message):
    """Third frame: the agent accepts exactly what was said before."""

    TYPE: ClassVar[str] = "auth"
    version: int
    keyset_version: Count


class Heartbeat(Message):
    """Alive; also carries an acknowledgement, as every message does."""

    TYPE: ClassVar[str] = "heartbeat"
    at_ms: Milliseconds


class CommandFrame(Message):
    """A command of the master: the bytes that the command key signed."""

    TYPE: ClassVar[str] = "command"
    envelope: Annotated[bytes, Field(min_length=81, max_length=60_000)]


class KeysetFrame(Message):
    """A newer keyset document, with those before it that changed the roots."""

    TYPE: ClassVar[str] = "keyset"
    document: Annotated[bytes, Field(max_length=12_000)]
    chain: Chain = ()


class GoAway(Message):
    """The master will close: come back after `after_ms`, spread over `spread_ms`."""

    TYPE: ClassVar[str] = "goaway"
    after_ms: Annotated[int, Field(ge=0, le=3_600_000)]
    spread_ms: Annotated[int, Field(ge=0, le=3_600_000)]


class Credit(Message):
    """So many more bytes may be sent on a channel."""

    TYPE: ClassVar[str] = "credit"
    channel: Annotated[int, Field(ge=0, le=3)]
    bytes: Annotated[int, Field(ge=0, le=1 << 24)]


class Rotate(Message):
    """The agent's next key, signed by the one it has and by itself."""

    TYPE: ClassVar[str] = "rotate"
    public: Annotated[bytes, Field(min_length=32, max_length=32)]
    signature_old: Annotated[bytes, Field(min_length=64, max_length=64)]
    signature_new: Annotated[bytes, Field(min_length=64, max_length=64)]


class Rotated(Message):
    """The master knows the next key; the old one is good for `overlap_ms` more."""

    TYPE: ClassVar[str] = "rotated"
    kid: Annotated[bytes, Field(min_length=8, max_length=8)]
    overlap_ms: Milliseconds


class Refused(Message):
    """A message was refused; the session lives."""

    TYPE: ClassVar[str] = "error"
    code: ShortText
    retry: Literal["no", "later"]
    detail: Annotated[str, Field(max_length=200)] = ""
    field: ShortText | None = None


HANDSHAKE: tuple[type[Message], ...] = (Hello, Challenge, Auth)
BOTH_WAYS: tuple[type[Message], ...] = (Heartbeat, Credit, Refused)
TO_AGENT: tuple[type[Message], ...] = (CommandFrame, KeysetFrame, GoAway, Rotated)
TO_MASTER: tuple[type[Message], ...] = (Rotate,)
