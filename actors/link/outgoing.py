"""What waits to be sent, by strict priority; figures are conflated, bulk is bounded. Pure: no socket, no clock."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.flow import Lane
from protocol.messages.base import Message

if TYPE_CHECKING:
    from actors.supervision.handle import Handle

QUEUE_MAX = {Lane.CONTROL: 2_048, Lane.STATE: 2_048, Lane.FIGURES: 2_048, Lane.BULK: 64}
"""Messages of one lane. The journal is the queue of the durable ones, and a stream's owner that of its chunks."""


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
    owner: "Handle | None" = None
    """Of a chunk of a stream: who is told that it went or was dropped."""


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
                self._newest[item.key] = item
                self.dropped += 1
                return True
            self._newest[item.key] = item
        if len(lane) >= QUEUE_MAX[item.lane]:
            self.dropped += 1
            if item.key is not None:
                del self._newest[item.key]
            return False
        lane.append(item)
        return True

    def take(self, may: Callable[[Lane], bool] = lambda _lane: True) -> Item | None:
        """The next item by priority, of the lanes that may send now."""
        for lane, items in zip(Lane, self._lanes, strict=True):
            if items and may(lane):
                item = items.popleft()
                return item if item.key is None else self._newest.pop(item.key)
        return None

    def waits(self, lane: Lane) -> bool:
        """Whether something waits there."""
        return bool(self._lanes[lane])

    def drop(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take items out: a lost session's durable items come again from the journal. What was taken out."""
        gone: list[Item] = []
        for lane in self._lanes:
            kept: list[Item] = []
            for item in lane:
                (gone if unwanted(item) else kept).append(item)
            lane.clear()
            lane.extend(kept)
        for item in gone:
            if item.key is not None:
                self._newest.pop(item.key, None)
        return gone
