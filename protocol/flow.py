"""How much may be on its way: four lanes by strict priority, each with its bound in bytes. Pure.

Priority alone is not enough. What has left the sender lies in sockets, and a heartbeat waits behind all of it; so the
sender keeps no more on its way in each lane than the receiver has room for.

- control: handshake, heartbeats, refusals. Small and few; no bound.
- state: durable messages. The acknowledgement is the credit: bytes that are not acknowledged count.
- figures, bulk: the receiver gives credit back with `credit` once it has consumed what came.
"""

from enum import IntEnum
from types import MappingProxyType

from .messages.base import Message
from .messages.reports import CommandProgress, LogLines, Report


class Lane(IntEnum):
    """Lower goes first. The value is the `channel` of a `credit`."""

    CONTROL = 0
    STATE = 1
    FIGURES = 2
    BULK = 3


WINDOW_BYTES = MappingProxyType({Lane.STATE: 262_144, Lane.FIGURES: 131_072, Lane.BULK: 131_072})
CREDITED = frozenset({Lane.FIGURES, Lane.BULK})
GRANT_AT = 4
"""The receiver gives credit back in parts of a fourth of the window."""
FEATURE = "credit"
_LANES: dict[type[Message], Lane] = {Report: Lane.FIGURES, CommandProgress: Lane.FIGURES, LogLines: Lane.BULK}


def lane_of(message: Message, offset: int | None) -> Lane:
    """The lane of a message: by what it is, the same on both sides."""
    if offset is not None:
        return Lane.STATE
    return _LANES.get(type(message), Lane.CONTROL)


class Spending:
    """The sender's account. Without `credit` in the session only the state lane is bounded."""

    __slots__ = ("_left", "_state_bytes", "_unacknowledged")

    def __init__(self, *, credited: bool) -> None:
        self._left = {lane: WINDOW_BYTES[lane] for lane in (Lane.FIGURES, Lane.BULK)} if credited else {}
        self._unacknowledged: list[tuple[int, int]] = []
        """Offset and size. A list, since an empty deque takes 600 bytes and a master has a thousand of these."""
        self._state_bytes = 0

    def may(self, lane: Lane) -> bool:
        """Whether one more message of this lane may go: any that begins with something left."""
        if lane is Lane.STATE:
            return self._state_bytes < WINDOW_BYTES[lane]
        return self._left.get(lane, 1) > 0

    def spend(self, lane: Lane, size_bytes: int, offset: int | None) -> None:
        """A message went; its size is that of a frame that carries it alone, whatever carries it."""
        if offset is not None:
            self._unacknowledged.append((offset, size_bytes))
            self._state_bytes += size_bytes
        elif lane in self._left:
            self._left[lane] -= size_bytes

    def acknowledged(self, offset: int) -> None:
        """The peer has our stream up to here."""
        known = 0
        for sent, size_bytes in self._unacknowledged:
            if sent > offset:
                break
            self._state_bytes -= size_bytes
            known += 1
        del self._unacknowledged[:known]

    def granted(self, channel: int, size_bytes: int) -> None:
        """The receiver gave credit back; more than the window is taken for the window."""
        lane = Lane(channel)
        if lane in self._left:
            self._left[lane] = min(WINDOW_BYTES[lane], self._left[lane] + size_bytes)


class Granting:
    """The receiver's account."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed = [0] * len(Lane)

    def consumed(self, lane: Lane, size_bytes: int) -> int:
        """A message was consumed; the bytes to give back now, or 0 when it is not worth a frame yet."""
        if lane not in CREDITED:
            return 0
        self._owed[lane] += size_bytes
        if self._owed[lane] < WINDOW_BYTES[lane] // GRANT_AT:
            return 0
        due, self._owed[lane] = self._owed[lane], 0
        return due
