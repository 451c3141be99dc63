"""The three frames before a session: hello, challenge, auth; both sides prove their key on fresh nonces.

The session hash is the digest of all three complete frames, so that no version, feature or offset can be taken out on
the way, and no frame of one session verifies in another.
"""

from collections.abc import Iterable
from typing import Any

from .codec import decode, encode
from .envelope import check, cut, seal
from .errors import Code, ProtocolError
from .keys import KeyPair, Purpose, digest
from .limits import HANDSHAKE_FRAME_MAX_BYTES, SKEW_MAX_MS
from .messages.base import Message
from .messages.registry import dump, parse

VERSIONS = (1,)
FEATURES = ("bulk", "bundle", "credit")
CONTEXT = b"mosalama/1/session\0"


def seal_step(key: KeyPair, purpose: Purpose, bind: bytes, message: Message) -> bytes:
    """One frame of the handshake."""
    return seal(key, purpose, bind, encode([message.TYPE, dump(message)]))


def open_step(frame: bytes, wanted: type[Message], public: bytes, purpose: Purpose, bind: bytes) -> Message:
    """One frame of the handshake, verified and validated; any fault ends the attempt."""
    if len(frame) > HANDSHAKE_FRAME_MAX_BYTES:
        raise ProtocolError(Code.FRAME)
    return read_step(check(cut(frame), public, purpose, bind), wanted)


def read_step(body: bytes, wanted: type[Message]) -> Message:
    """The message of a body of the handshake."""
    try:
        value: Any = decode(body)
        word, payload = value
        return parse({wanted.TYPE: wanted}, word, payload)
    except (TypeError, ValueError):
        raise ProtocolError(Code.FRAME) from None
    except ProtocolError as error:
        raise ProtocolError(Code.FRAME, error.detail, error.field) from None


def session_hash(hello: bytes, challenge: bytes, auth: bytes) -> bytes:
    """32 bytes that bind every later frame to exactly this beginning."""
    return digest(CONTEXT, hello, challenge, auth)


def choose_version(offered: Iterable[int], supported: Iterable[int], minimum: int) -> int:
    """The highest version of both, at least `minimum`."""
    common = [version for version in set(offered) & set(supported) if version >= minimum]
    if not common:
        raise ProtocolError(Code.VERSION, "no version in common")
    return max(common)


def check_clock(ours_ms: int, theirs_ms: int) -> int:
    """The peer's clock minus ours; ProtocolError when no time limit could be trusted."""
    skew = theirs_ms - ours_ms
    if abs(skew) > SKEW_MAX_MS:
        raise ProtocolError(Code.CLOCK, f"the clocks differ by more than {SKEW_MAX_MS // 1000} s; set the time")
    return skew
