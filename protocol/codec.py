"""msgpack with limits: what the decoder would silently take is refused here.

Duplicate keys, extension types, trailing bytes, depth, keys that are not text, NaN and unbounded integers: the
usual decoders accept all of them or take the last.
"""

from typing import Any

import msgpack

from .errors import Code, ProtocolError
from .limits import (
    ARRAY_MAX_ITEMS,
    BODY_MAX_BYTES,
    DEPTH_MAX_LEVELS,
    INTEGER_MAX,
    MAP_MAX_ITEMS,
    STRING_MAX_BYTES,
)


def encode(value: object) -> bytes:
    """The bytes of plain values (None, bool, int, float, str, bytes, list, tuple, dict with text keys)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, strict_types=False)
    return packed


def decode(data: bytes) -> Any:
    """The value, arrays as tuples; ProtocolError(E_DECODE) for whatever is not plain, bounded and whole."""
    if not isinstance(data, bytes):  # what stands where a peer should have put nested bytes
        raise ProtocolError(Code.DECODE, "not bytes")
    if len(data) > BODY_MAX_BYTES:
        raise ProtocolError(Code.DECODE, "too long")
    if _may_hide(data):
        _check_depth(data)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=False,
            strict_map_key=True,
            object_pairs_hook=_pairs,
            max_str_len=STRING_MAX_BYTES,
            max_bin_len=STRING_MAX_BYTES,
            max_array_len=ARRAY_MAX_ITEMS,
            max_map_len=MAP_MAX_ITEMS,
            max_ext_len=0,
            ext_hook=_no_extension,
            timestamp=0,
        )
    except ProtocolError:
        raise
    except (
        ValueError,
        TypeError,
        msgpack.exceptions.UnpackException,
        RecursionError,
        OverflowError,
    ) as error:
        raise ProtocolError(Code.DECODE, "not a plain, bounded value") from error


def _pairs(pairs: list[tuple[object, object]]) -> dict[str, object]:
    result: dict[str, object] = dict(pairs)  # type: ignore[arg-type]  # the next line sees to it
    "".join(result)  # a key that is not text is a TypeError here, at the speed of C
    if len(result) != len(pairs):
        raise ProtocolError(Code.DECODE, "a key that stands twice")
    return result


def _no_extension(_code: int, _data: bytes) -> object:
    raise ProtocolError(Code.DECODE, "an extension type")


_WIDE = (b"\xcf", b"\xcb", b"\xca")
_CONTAINERS = frozenset((*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF))
_HARMLESS = bytes(byte for byte in range(256) if byte not in _CONTAINERS)


def _may_hide(data: bytes) -> bool:
    """Whether the walk could find anything: it costs more than all the rest, and most bodies cannot be bad.

    Too deep needs more bytes that could open a container than there are levels; a giant or NaN needs the mark of a wide
    number and a high byte behind it.
    """
    if len(data.translate(None, _HARMLESS)) > DEPTH_MAX_LEVELS:
        return True
    for mark in _WIDE:
        at = data.find(mark)
        while at >= 0:
            if data[at + 1 : at + 2] >= b"\x7f":
                return True
            at = data.find(mark, at + 1)
    return False


def _check_depth(data: bytes) -> None:
    """Walk the markers without building values; refuses what is nested too deep or is a 64-bit giant or NaN."""
    position, size = 0, len(data)
    open_items: list[int] = []
    while position < size:
        mark = data[position]
        position, items = _skip(data, position + 1, mark)
        if items:
            open_items.append(items)
            if len(open_items) > DEPTH_MAX_LEVELS:
                raise ProtocolError(Code.DECODE, "nested too deep")
            continue
        while open_items:
            open_items[-1] -= 1
            if open_items[-1]:
                break
            open_items.pop()


_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_LENGTH = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_MANY = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _skip(data: bytes, position: int, mark: int) -> tuple[int, int]:
    """The position behind one marker and its own bytes, and how many values follow inside it."""
    if mark < 0x80 or mark >= 0xE0:
        return position, 0
    if mark < 0x90:
        return position, 2 * (mark & 0x0F)
    if mark < 0xA0:
        return position, mark & 0x0F
    if mark < 0xC0:
        return position + (mark & 0x1F), 0
    if mark in _FIXED:
        width = _FIXED[mark]
        _check_number(mark, data[position : position + width])
        return position + width, 0
    if mark in _LENGTH:
        width = _LENGTH[mark]
        return position + width + int.from_bytes(data[position : position + width], "big"), 0
    if mark in _MANY:
        width, factor = _MANY[mark]
        return position + width, factor * int.from_bytes(data[position : position + width], "big")
    raise ProtocolError(Code.DECODE, "an extension type")


def _check_number(mark: int, raw: bytes) -> None:
    if mark == 0xCF and int.from_bytes(raw, "big") > INTEGER_MAX:
        raise ProtocolError(Code.SCHEMA, "an integer beyond 63 bits")
    if mark in {0xCA, 0xCB} and len(raw) == _FIXED[mark]:
        exponent = int.from_bytes(raw[:2], "big")
        special = (exponent >> 7 & 0xFF) == 0xFF if mark == 0xCA else (exponent >> 4 & 0x7FF) == 0x7FF
        if special:
            raise ProtocolError(Code.SCHEMA, "a number that is not finite")
