"""A command as it is signed: independent of any session, so that it can wait, be sent again and be audited.

The command key signs `[type, id, issued_ms, ttl_ms, payload]`, bound to the digest of the agent's id: a command
for one agent does not verify for another, and the link key cannot make one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from .codec import decode, encode
from .envelope import check, cut, seal
from .errors import Code, ProtocolError
from .keys import KeyPair, Purpose, digest
from .limits import INTEGER_MAX, TTL_MAX_MS
from .messages.base import Command
from .messages.registry import COMMAND_TABLE, dump, parse

ID_BYTES = 16
FIELDS = 5


@dataclass(frozen=True, slots=True)
class SignedCommand:
    """A verified command with the bytes that prove it; times are milliseconds of the master's clock."""

    command_id: str
    issued_ms: int
    ttl_ms: int
    command: Command
    envelope: bytes

    def expired(self, now_ms: int) -> bool:
        """Whether its time to live is over; `now_ms` is the master's clock as the agent estimates it."""
        return now_ms > self.issued_ms + self.ttl_ms


def seal_command(
    key: KeyPair, agent_id: str, command_id: bytes, issued_ms: int, ttl_ms: int, command: Command
) -> bytes:
    """The bytes of one command for one agent."""
    if not 0 < ttl_ms <= TTL_MAX_MS:
        raise ProtocolError(Code.SCHEMA, f"a time to live is 1 to {TTL_MAX_MS} ms", "ttl_ms")
    body = encode([command.TYPE, command_id, issued_ms, ttl_ms, dump(command)])
    return seal(key, Purpose.COMMAND, digest(agent_id.encode()), body)


def open_command(envelope: bytes, agent_id: str, publics: Mapping[bytes, bytes]) -> SignedCommand:
    """The command, verified with the command key it names (`publics`: id -> key) and validated."""
    parts = cut(envelope)
    public = publics.get(parts.kid)
    if public is None:
        raise ProtocolError(Code.ROLE, "not signed by a command key")
    body = decode(check(parts, public, Purpose.COMMAND, digest(agent_id.encode())))
    if not isinstance(body, tuple) or len(body) != FIELDS:
        raise ProtocolError(Code.DECODE, "a command has five parts")
    word, raw_id, issued_ms, ttl_ms, payload = body
    good = (
        type(word) is str
        and type(raw_id) is bytes
        and len(raw_id) == ID_BYTES
        and type(issued_ms) is int
        and 0 <= issued_ms <= INTEGER_MAX
        and type(ttl_ms) is int
        and 0 < ttl_ms <= TTL_MAX_MS
    )
    if not good:
        raise ProtocolError(Code.SCHEMA, "a part of the command's head")
    command = cast("Command", parse(COMMAND_TABLE, word, payload))
    return SignedCommand(raw_id.hex(), issued_ms, ttl_ms, command, envelope)


def unseal_trusted(command_id: str, envelope: bytes) -> SignedCommand:
    """A command that was verified before it was written to our own disk: its key may have gone since."""
    word, raw_id, issued_ms, ttl_ms, payload = decode(cut(envelope).body)
    if raw_id.hex() != command_id:
        raise ProtocolError(Code.DECODE, "the ledger's id and the signed id differ")
    return SignedCommand(command_id, issued_ms, ttl_ms, cast("Command", parse(COMMAND_TABLE, word, payload)), envelope)
