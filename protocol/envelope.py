"""The outer form of every message: a msgpack array of four at fixed offsets, cut before any parser runs.

    offset  bytes          meaning
    0       94             array of four
    1       01             version of the wire
    2       c4 08 + 8      id of the signing key
    12      c5 u16 + n     body, at most 65 535 bytes; always this prefix, also for a short body
    15+n    c4 40 + 64     signature

Every msgpack reader understands the whole; nothing unverified reaches one.
"""

from typing import NamedTuple

from .errors import Code, ProtocolError
from .keys import KID_BYTES, SIGNATURE_BYTES, KeyPair, Purpose, verify
from .limits import BODY_MAX_BYTES

HEAD = b"\x94\x01\xc4\x08"
BODY_MARK = 0xC5
TAIL = b"\xc4\x40"
BODY_AT = 15
OVERHEAD_BYTES = BODY_AT + len(TAIL) + SIGNATURE_BYTES


class Envelope(NamedTuple):
    """The parts of one frame, nothing of it verified. A tuple, since every frame makes one."""

    kid: bytes
    body: bytes
    signature: bytes


def cut(frame: bytes) -> Envelope:
    """The parts of a frame by offset; ProtocolError(E_FRAME) when the form is not exactly this."""
    size = len(frame)
    if size < OVERHEAD_BYTES or frame[:4] != HEAD or frame[12] != BODY_MARK:
        raise ProtocolError(Code.FRAME)
    end = BODY_AT + (frame[13] << 8 | frame[14])
    if size != end + len(TAIL) + SIGNATURE_BYTES or frame[end : end + 2] != TAIL:
        raise ProtocolError(Code.FRAME)
    return Envelope(frame[4 : 4 + KID_BYTES], frame[BODY_AT:end], frame[end + 2 :])


def seal(key: KeyPair, purpose: Purpose, bind: bytes, body: bytes) -> bytes:
    """One signed frame around exactly these bytes."""
    if len(body) > BODY_MAX_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"a body has at most {BODY_MAX_BYTES} bytes")
    length = len(body).to_bytes(2, "big")
    return b"".join((HEAD, key.kid, b"\xc5", length, body, TAIL, key.sign(purpose, bind, body)))


def check(envelope: Envelope, public: bytes, purpose: Purpose, bind: bytes) -> bytes:
    """The body, once its signature holds."""
    verify(public, purpose, bind, envelope.body, envelope.signature)
    return envelope.body
