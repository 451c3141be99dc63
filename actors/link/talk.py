"""One session, once it stands: frames taken, messages sent by lane, heartbeats sent and missed; ends by raising why.

Three tasks and, for bulk, a second socket. Only `_write` sends on the main socket.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.clock import milliseconds
from config.link import LinkSettings
from protocol.agent_session import AgentSession, Commanded, Established, NewKeyset, refusal
from protocol.channel import Channel, ContentFault, Received
from protocol.errors import ProtocolError
from protocol.flow import FEATURE, Lane, Spending
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.messages.control import Credit, GoAway, Heartbeat, Rotated
from protocol.tokens import assertion

from .access import keep_fresh
from .bulk import BulkSocket
from .conversation import Bridge
from .desk import Desk
from .errors import DroppedError, LinkError
from .identity import Identity
from .messages import FrameRefused, Got, KeyTaken, Left, Passed, PeerHas
from .outgoing import Item
from .reconnect import Reconnect
from .transport import BULK_PATH, Connection, audience, open_connection

BULK_FEATURE = "bulk"
ACK_IDLE_S = 0.1
"""An acknowledgement that no other message carries waits this long for one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a session stands on."""

    number: int
    master: str
    connection: Connection
    session: AgentSession
    established: Established
    identity: Identity
    session_ms: Callable[[], int]
    """The wall clock as it was at the handshake, gone on by the monotonic one."""


class Talk:
    """`run` until the session ends."""

    def __init__(self, desk: Desk, bridge: Bridge, settings: LinkSettings, rules: Reconnect, on: Standing) -> None:
        self._desk, self._bridge, self._settings, self._rules, self._on = desk, bridge, settings, rules, on
        assert on.session.channel is not None
        self._channel: Channel = on.session.channel
        self._flow = Spending(credited=FEATURE in on.established.features)
        self._last_heard = time.monotonic()
        self._told = 0
        self._acked = desk.ack
        """The acknowledgement that was said last: in the hello, then in every frame."""
        self._bulk: BulkSocket | None = None
        if BULK_FEATURE in on.established.features and settings.bulk_socket:
            self._bulk = BulkSocket(desk.outgoing, self._channel.bulk(), self._bulk_connection, self._put, self._went)

    async def run(self) -> None:
        """Raises LinkError or ProtocolError."""
        connection = self._on.connection
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._write())
                group.create_task(self._beat())
                group.create_task(self._keep_fresh())
                if self._bulk is not None:
                    group.create_task(self._bulk.run(self._desk.awake))
        except* ProtocolError as faults:
            fault = faults.exceptions[0]
            await connection.close(getattr(fault, "close_code", None) or 4400, "")
            raise fault from None
        except* LinkError as faults:
            raise faults.exceptions[0] from None
        finally:
            dropped = self._desk.outgoing.drop(lambda item: item.offset is not None or item.owner is not None)
            self._went(dropped, sent=False)

    async def _keep_fresh(self) -> None:
        files, identity = self._bridge.files, self._on.identity
        now_ms = lambda: milliseconds(self._bridge.wall())  # noqa: E731  # a name for one argument
        await keep_fresh(self._on.master, self._settings, files, identity.key, identity.agent_id, now_ms)

    # -- reading ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Frames are taken in the moment they come; this only waits for the end."""
        self._on.connection.deliver(self._frame)
        await self._on.connection.ended()

    def _frame(self, frame: bytes) -> None:
        session, now_ms = self._on.session, self._on.session_ms()
        for event in session.receive(frame, now_ms):
            self._last_heard = time.monotonic()
            self._take(event, now_ms + session.skew_ms)
        if self._channel.peer_ack > self._told:
            self._told = self._channel.peer_ack
            self._flow.acknowledged(self._told)
            self._desk.awake()
            self._bridge.tell(PeerHas(self._on.number, self._told))

    def _take(self, event: Any, master_now_ms: int) -> None:
        tell, number = self._bridge.tell, self._on.number
        match event:
            case Commanded():
                tell(Got(number, event, master_now_ms))
            case NewKeyset():
                self._bridge.files.save(self._on.identity.agent_id, event.keyset.body.roots, event.keyset)
            case ContentFault(error=error):
                tell(FrameRefused(str(error.code), error.detail, error.field, fatal=False))
                self._desk.outgoing.put(Item(Lane.CONTROL, refusal(event), reply_to=event.message_id))
                if event.offset is not None:
                    tell(Passed(number, event.offset))
                self._desk.awake()
            case Received(message=Rotated(kid=kid)):
                tell(KeyTaken(kid))
            case Received(message=Credit(channel=channel, bytes=size)):
                self._flow.granted(channel, size)
                self._desk.awake()
            case Received(message=GoAway() as bye):
                self._rules.asked(bye.after_ms / 1000, bye.spread_ms / 1000)
            case _:
                pass

    # -- writing ---------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """The only task that sends. What may leave now leaves together; nothing waits for company."""
        desk, connection = self._desk, self._on.connection
        while True:
            self._sort()
            if desk.dropping:
                raise DroppedError(desk.dropping)
            chunks = self._gather()
            frame = self._channel.frame()
            if frame is not None:
                await self._send(frame, chunks)
                continue
            if desk.stopping:
                await connection.close(1001, "the agent stops")
                raise DroppedError("the agent stops")
            if not await desk.anything(None if self._acked >= desk.ack else ACK_IDLE_S):
                desk.outgoing.put(self._heartbeat())  # nothing else came along to carry the acknowledgement

    def _gather(self) -> list[Item]:
        """Put what may leave now into the channel, by priority and credit, a frame of it at most; the chunks in it."""
        chunks: list[Item] = []
        while self._channel.room and (item := self._key_item() or self._desk.outgoing.take(self._may)) is not None:
            self._flow.spend(item.lane, self._put(self._channel, item), item.offset)
            self._acked = self._desk.ack
            if item.lane is Lane.BULK:
                chunks.append(item)
        return chunks

    async def _send(self, frame: bytes, chunks: list[Item]) -> None:
        """One of the chunks may leave with the next frame only; if there is none, it is lost as in a socket."""
        sent = False
        try:
            await self._on.connection.send(frame)
            sent = True
        finally:
            self._went(chunks, sent=sent)
        if chunks:
            await asyncio.sleep(0)  # a socket that takes everything must not keep the reader from its turn

    def _key_item(self) -> Item | None:
        """The next key, if the master is to learn one."""
        key, self._desk.next_key = self._desk.next_key, None
        return None if key is None else Item(Lane.CONTROL, self._on.session.rotate(key))

    def _may(self, lane: Lane) -> bool:
        if lane is Lane.BULK and self._bulk is not None and self._bulk.carries:
            return False
        return self._flow.may(lane)

    def _sort(self) -> None:
        """What came from the actor, into its lane; what is of an earlier session or finds no room is let go."""
        lost: list[Item] = []
        inbox, outgoing, number = self._desk.inbox, self._desk.outgoing, self._on.number
        while inbox:
            coming = inbox.popleft()
            stale = coming.session != number and (coming.offset is not None or coming.owner is not None)
            if stale or not outgoing.put(coming):
                lost.append(coming)
        self._went(lost, sent=False)
        if self._bulk is not None:
            self._bulk.wake()

    def _went(self, items: list[Item], *, sent: bool) -> None:
        """Durable items come again with the next session; the owners of chunks are told."""
        chunks = tuple(item for item in items if item.owner is not None)
        if chunks:
            self._bridge.tell(Left(chunks, sent=sent))

    def _put(self, channel: Channel, item: Item) -> int:
        now_ms = self._on.session_ms()
        self._desk.sent_offset = max(self._desk.sent_offset, item.offset or 0)
        return channel.put(
            item.message,
            at_ms=now_ms,
            message_id=item.message_id or uuid7(now_ms, os.urandom(RANDOM_BYTES)),
            ack=self._desk.ack,
            offset=item.offset,
            reply_to=item.reply_to,
        )

    async def _bulk_connection(self) -> Connection:
        identity, master = self._on.identity, self._on.master
        now_s = milliseconds(self._bridge.wall()) // 1000
        proof = assertion(identity.key, identity.agent_id, audience(master, BULK_PATH), now_s, secrets.token_hex(8))
        return await open_connection(master, self._settings, proof, BULK_PATH)

    def _heartbeat(self) -> Item:
        return Item(Lane.CONTROL, Heartbeat(at_ms=self._on.session_ms()), key="heartbeat")

    # -- liveness --------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Our heartbeats, and the look at when the master was last heard; our own traffic does not count."""
        settings, outgoing = self._settings, self._desk.outgoing
        while True:
            outgoing.put(self._heartbeat())
            self._desk.awake()
            await asyncio.sleep(settings.heartbeat_s * (0.9 + 0.2 * self._bridge.rng.random()))
            silent_s = time.monotonic() - self._last_heard
            if silent_s > settings.peer_dead_s:
                self._on.connection.abort()
                raise DroppedError(f"nothing was heard of the master for {silent_s:.0f} s")
