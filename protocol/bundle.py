"""Several messages under one signature. Pure: bytes in, bytes out.

The signed body of a frame is one message or a bundle: two or more, one after another, each as msgpack's bin 16.

    c5 u16 n bytes   c5 u16 n bytes   ...

The first byte tells them apart, since a message is an array (`99`). A bundle is cut by its lengths, before any parser
sees a message of it, and each message is then judged by itself: a bad one is bad alone. Lengths that do not come out
are nobody's message, so they are a fault of the frame.
"""

from collections.abc import Sequence

from .errors import Code, ProtocolError
from .limits import BUNDLE_FULL_BYTES, BUNDLE_MAX_MESSAGES

FEATURE = "bundle"
MARK = 0xC5
MARK_BYTES = 3
"""The mark and the length before each message."""


def is_bundle(body: bytes) -> bool:
    """Whether a verified body says that it is one."""
    return body[:1] == b"\xc5"


def join(messages: Sequence[bytes]) -> bytes:
    """The body of these messages: at least two, of at most 65 535 bytes each."""
    return b"".join(part for message in messages for part in (b"\xc5", len(message).to_bytes(2, "big"), message))


def split(body: bytes) -> list[bytes]:
    """The messages of a bundle; ProtocolError(E_FRAME) when its form is not exactly this."""
    messages: list[bytes] = []
    at, size = 0, len(body)
    while at < size:
        begin = at + MARK_BYTES
        if begin >= size or body[at] != MARK or len(messages) == BUNDLE_MAX_MESSAGES:
            raise ProtocolError(Code.FRAME, "a bundle")
        at = begin + (body[at + 1] << 8 | body[at + 2])
        if not begin < at <= size or body[begin] == MARK:  # empty, beyond the end, or a bundle inside
            raise ProtocolError(Code.FRAME, "a bundle")
        messages.append(body[begin:at])
    if len(messages) < 2:
        raise ProtocolError(Code.FRAME, "a bundle")
    return messages


def fitting(messages: Sequence[bytes]) -> int:
    """How many of these, from the first, leave in one frame: at least one."""
    size = 0
    for count, message in enumerate(messages[:BUNDLE_MAX_MESSAGES]):
        size += MARK_BYTES + len(message)
        if size > BUNDLE_FULL_BYTES:
            return max(1, count)
    return min(len(messages), BUNDLE_MAX_MESSAGES)
