"""What waits to be sent, by strict priority; figures are conflated. Pure: no socket, no clock.

Priority without a bound on what lies in the socket's buffers is not enough: the writer keeps at most
`write_limit` there, so that a heartbeat waits behind one frame and not behind a queue.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from protocol.messages.base import Message
from protocol.messages.reports import Report

QUEUE_MAX = 2_048
"""Messages of one lane; the journal is the queue, this is only its window."""


class Lane(IntEnum):
    """Lower goes first."""

    CONTROL = 0
    STATE = 1
    FIGURES = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class Item:
    """One message to send. `offset` is its place in our durable stream, `key` names what a newer one replaces.

    A durable one is for the session in which it was read: sent in a later one it would pass those before it.
    """

    lane: Lane
    message: Message
    message_id: bytes | None = None
    offset: int | None = None
    reply_to: bytes | None = None
    key: str | None = None
    session: int = 0


def _joined(older: Item, newer: Item) -> Item:
    """The newer one; of reports, which say what changed, one that says what both say."""
    if isinstance(newer.message, Report) and isinstance(older.message, Report):
        return replace(newer, message=newer.message.after(older.message))
    return newer


class Outgoing:
    """The four lanes."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[Item], ...] = tuple(deque() for _ in Lane)
        self._newest: dict[str, Item] = {}
        self.dropped = 0
        """Messages that a newer one replaced or that found their lane full."""

    def put(self, item: Item) -> bool:
        """Queue an item; False when its lane is full (durable ones are read again from the journal)."""
        lane = self._lanes[item.lane]
        if item.key is not None:
            if item.key in self._newest:
                self._newest[item.key] = _joined(self._newest[item.key], item)
                self.dropped += 1
                return True
            self._newest[item.key] = item
        if len(lane) >= QUEUE_MAX:
            self.dropped += 1
            if item.key is not None:
                del self._newest[item.key]
            return False
        lane.append(item)
        return True

    def take(self) -> Item | None:
        """The next item by priority."""
        for lane in self._lanes:
            if lane:
                item = lane.popleft()
                return item if item.key is None else self._newest.pop(item.key)
        return None

    def drop(self, unwanted: Callable[[Item], bool]) -> None:
        """Take items out: a lost session's durable items come again from the journal."""
        for lane in self._lanes:
            kept = [item for item in lane if not unwanted(item)]
            for item in lane:
                if item.key is not None and unwanted(item):
                    self._newest.pop(item.key, None)
            lane.clear()
            lane.extend(kept)
