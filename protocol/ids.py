"""Identifiers that sort by time: UUID version 7 (RFC 9562), from a given time and given random bytes."""

RANDOM_BYTES = 10


def uuid7(at_ms: int, random: bytes) -> bytes:
    """16 bytes: 48 bits of milliseconds, version, 74 random bits."""
    if len(random) != RANDOM_BYTES:
        raise ValueError("uuid7 takes 10 random bytes")
    head = (at_ms & ((1 << 48) - 1)).to_bytes(6, "big")
    return bytes((*head, 0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F, *random[3:10]))
