"""The second socket, for bulk: opened when chunks wait, closed when none came for a while.

It carries frames of the agent's main session, under that session's hash and with a purpose and a sequence of their
own, so it needs no handshake, and a frame of it is good nowhere else. TCP is its credit: nothing on it delays the main
socket.
Whatever keeps it from standing, the chunks then go over the main socket, under the credit of their lane.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from protocol.channel import Channel
from protocol.flow import Lane

from .errors import LinkError
from .outgoing import Item, Outgoing
from .transport import Connection

IDLE_S = 30.0
RETRY_S = 60.0
"""After a failure the main socket carries bulk for this long."""


class Left(Protocol):
    """What is told of chunks that left, or were lost with their socket."""

    def __call__(self, items: list[Item], *, sent: bool) -> None:
        """Tell their owners."""


class BulkSocket:
    """For one session. `run` until cancelled; `wake` when chunks may wait."""

    def __init__(
        self,
        outgoing: Outgoing,
        channel: Channel,
        connect: Callable[[], Awaitable[Connection]],
        put: Callable[[Channel, Item], int],
        left: Left,
    ) -> None:
        self._outgoing, self._channel, self._connect = outgoing, channel, connect
        self._put, self._left = put, left
        self._woken = asyncio.Event()
        self._not_before = 0.0
        self._log = structlog.get_logger().bind(actor="link")

    @property
    def carries(self) -> bool:
        """Whether chunks are for this socket now, so that the main one leaves them."""
        return time.monotonic() >= self._not_before

    def wake(self) -> None:
        """Chunks may wait."""
        if self._outgoing.waits(Lane.BULK):
            self._woken.set()

    async def run(self, failed: Callable[[], None]) -> None:
        """Carry what waits; `failed` is called when the main socket has to."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            if not self._outgoing.waits(Lane.BULK) or not self.carries:
                continue
            try:
                await self._carry(await self._connect())
            except LinkError as error:
                self._log.info("bulk.down", why=str(error))
                self._not_before = time.monotonic() + RETRY_S
                failed()

    async def _carry(self, connection: Connection) -> None:
        try:
            while True:
                while await self._send(connection):
                    pass
                self._woken.clear()
                try:
                    await asyncio.wait_for(self._woken.wait(), IDLE_S)
                except TimeoutError:
                    await connection.close()
                    return
        finally:
            self._channel.lose()  # by the next socket others may have gone over the main one
            await connection.gone()

    async def _send(self, connection: Connection) -> bool:
        """One frame of what waits now; whether there was one."""
        chunks: list[Item] = []
        while self._channel.room and (item := self._outgoing.take(_only_bulk)) is not None:
            self._put(self._channel, item)
            chunks.append(item)
        frame = self._channel.frame()
        if frame is None:
            return False
        sent = False
        try:
            await connection.send(frame)
            sent = True
        finally:
            self._left(chunks, sent=sent)
        return True


def _only_bulk(lane: Lane) -> bool:
    return lane is Lane.BULK
