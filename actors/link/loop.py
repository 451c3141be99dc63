"""The link's own event loop in its own thread: enrol, connect, handshake, read, write, beat; then again.

Everything that crosses to the actor is a frozen message; everything that crosses from it goes through one deque and
one coalesced wake-up.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections import deque
from dataclasses import replace
from typing import Any

import structlog

from actors.clock import milliseconds
from config.link import LinkSettings
from protocol.agent_session import AgentFacts, AgentSession, Commanded, Established, NewKeyset, Send, refusal
from protocol.channel import ContentFault, Received
from protocol.errors import ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keys import KeyPair
from protocol.messages.control import GoAway, Heartbeat, Rotated
from protocol.tokens import assertion

from .access import keep_fresh, usable
from .conversation import Bridge
from .enroll import enroll
from .errors import DroppedError, EnrollError, LinkError, NotReachedError, NotTakenError
from .identity import Identity
from .messages import FrameRefused, Got, KeyTaken, Passed, PeerHas, SessionDown, SessionUp
from .outgoing import Item, Lane, Outgoing
from .reconnect import Reconnect
from .transport import Connection, audience, open_connection

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


class LinkLoop:
    """`run` in a thread; `put`, `acknowledge` and `stop` from any thread."""

    def __init__(self, settings: LinkSettings, bridge: Bridge, received_offset: int) -> None:
        self._settings, self._bridge = settings, bridge
        self._reconnect = Reconnect(settings)
        self._outgoing = Outgoing()
        self._inbox: deque[Item] = deque()
        self._ack = received_offset
        self._stopping = False
        self._dropping = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._woken = False
        self._session_number = 0
        self._instance = secrets.token_hex(8)
        self._last_heard = 0.0
        self._next_key: KeyPair | None = None
        """A key that the master is to learn."""
        self._sent_offset = 0
        """Highest offset of our own stream that was ever sent."""
        self._session_base_ms = 0
        """The wall clock at the handshake, less the monotonic one: setting the clock moves no time limit."""
        self._log = structlog.get_logger().bind(actor="link")

    # -- from other threads ----------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Send this when there is a session."""
        self._inbox.append(item)
        self._nudge()

    def acknowledge(self, offset: int) -> None:
        """The master's stream is on our disk up to here; said with the next frame."""
        self._ack = max(self._ack, offset)

    def drop(self, why: str) -> None:
        """End this session: the next one begins where the journal is."""
        self._dropping = why
        self._nudge()

    def rotate(self, key: KeyPair) -> None:
        """Bring this next key to the master, in this session or the next."""
        self._next_key = key
        self._nudge()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping = True
        self._woken = False
        self._nudge()

    def _nudge(self) -> None:
        loop = self._loop
        if loop is None or self._woken:
            return
        self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(self._awake)

    def _awake(self) -> None:
        self._woken = False
        assert self._wake is not None
        self._wake.set()

    # -- the thread ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until stopped. Whatever ends an attempt is a state and a delay, never an exception."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        while not self._stopping:
            slow, why, state = False, "", "waiting"
            try:
                await self._attempt()
            except ProtocolError as error:
                why = str(error)
                self._bridge.tell(FrameRefused(str(error.code), error.detail, error.field, fatal=True))
                self._reconnect.failed()
            except LinkError as error:
                why, slow = error.why, error.slow
                state = "unenrolled" if isinstance(error, EnrollError) else "deregistered" if slow else "waiting"
                if not isinstance(error, DroppedError):
                    self._reconnect.failed()
            if self._ended():
                return
            delay_s = self._reconnect.delay_s(self._bridge.rng, slow=slow)
            self._log.info("link.down", why=why, next_try_s=round(delay_s, 1))
            self._bridge.tell(SessionDown(state, why, delay_s, None))
            await self._sleep(delay_s)

    def _ended(self) -> bool:
        return self._stopping

    async def _sleep(self, delay_s: float) -> None:
        assert self._wake is not None
        end = time.monotonic() + delay_s
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    # -- one attempt -----------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        master = self._reconnect.address()
        identity = await self._identity(master)
        connection, identity = await self._connect(master, identity)
        begun = time.monotonic()
        stood = False
        try:
            offered = self._ack
            session, established = await self._handshake(connection, identity, offered)
            stood = True
            await self._converse(connection, session, established, master, identity, offered)
        finally:
            connection.abort()
            if stood:
                self._reconnect.ended(time.monotonic() - begun)
            self._outgoing.drop(lambda item: item.offset is not None)

    async def _connect(self, master: str, identity: Identity) -> tuple[Connection, Identity]:
        """A connection, and the identity with the key that the master takes: while it rotates there are two."""
        for key in identity.keys:
            now_s = self._now_ms() // 1000
            proof = assertion(key, identity.agent_id, audience(master), now_s, secrets.token_hex(8))
            access = usable(self._bridge.files.access(), key, now_s)
            for token in (access, proof):
                if token is None:
                    continue
                try:
                    return await open_connection(master, self._settings, token), replace(identity, key=key)
                except NotTakenError:
                    if key is identity.key and token is proof:
                        raise
        raise AssertionError("there is no key")

    async def _identity(self, master: str) -> Identity:
        files = self._bridge.files
        identity = files.load()
        if identity is not None:
            return identity
        self._bridge.tell(SessionDown("enrolling", "", None, None))
        inventory = await asyncio.to_thread(self._bridge.inventory)
        enrolled = await enroll(master, self._settings, files.key(), inventory, self._now_ms())
        files.save_access(enrolled.access_token)
        identity = files.save(enrolled.agent_id, enrolled.roots, enrolled.keyset)
        self._log.info("enrolled", agent=enrolled.agent_id, master=master)
        return identity

    async def _handshake(
        self, connection: Connection, identity: Identity, offered: int
    ) -> tuple[AgentSession, Established]:
        facts = AgentFacts(
            _boot_id(), self._instance, connection.certificate_sha256, offered, sent_offset=self._sent_offset
        )
        self._session_base_ms = self._now_ms() - int(time.monotonic() * 1000)
        session = AgentSession(identity.agent_id, identity.key, identity.keyset, identity.roots, facts)
        try:
            async with asyncio.timeout(self._settings.handshake_timeout_s):
                await connection.send(session.hello(secrets.token_bytes(32), self._session_ms()))
                events = session.receive(await connection.receive(), self._session_ms())
                for event in events:
                    if isinstance(event, NewKeyset):
                        identity = self._bridge.files.save(identity.agent_id, event.keyset.body.roots, event.keyset)
                    elif isinstance(event, Send):
                        await connection.send(event.frame)
        except TimeoutError:
            raise NotReachedError("the master did not finish the handshake in time") from None
        established = events[-1]
        assert isinstance(established, Established)
        return session, established

    async def _converse(
        self,
        connection: Connection,
        session: AgentSession,
        established: Established,
        master: str,
        identity: Identity,
        offered: int,
    ) -> None:
        self._session_number += 1
        self._dropping = ""
        self._last_heard = time.monotonic()
        self._log.info("link.up", master=master, skew_ms=established.skew_ms)
        if identity.next_key is not None and identity.key.kid == identity.next_key.kid:
            self._next_key = None
            self._bridge.tell(KeyTaken(identity.key.kid))
        self._bridge.tell(
            SessionUp(
                self._session_number,
                master,
                identity.agent_id,
                established.received_offset,
                established.skew_ms,
                offered,
                established.believed_offset,
                established.keyset_expires_ms,
            )
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection, session, identity))
                group.create_task(self._write(connection, session))
                group.create_task(self._beat(connection))
                group.create_task(self._keep_fresh(master, identity))
        except* ProtocolError as faults:
            fault = faults.exceptions[0]
            await connection.close(getattr(fault, "close_code", None) or 4400, "")
            raise fault from None
        except* LinkError as faults:
            raise faults.exceptions[0] from None

    async def _keep_fresh(self, master: str, identity: Identity) -> None:
        files, key = self._bridge.files, identity.key
        await keep_fresh(master, self._settings, files, key, identity.agent_id, self._now_ms)

    async def _read(self, connection: Connection, session: AgentSession, identity: Identity) -> None:
        number, told = self._session_number, 0
        while True:
            frame = await connection.receive()
            now_ms = self._session_ms()
            for event in session.receive(frame, now_ms):
                self._last_heard = time.monotonic()
                self._take(event, number, now_ms + session.skew_ms, identity)
            assert session.channel is not None
            if session.channel.peer_ack > told:
                told = session.channel.peer_ack
                self._bridge.tell(PeerHas(number, told))

    def _take(self, event: Any, number: int, master_now_ms: int, identity: Identity) -> None:
        match event:
            case Commanded():
                self._bridge.tell(Got(number, event, master_now_ms))
            case NewKeyset():
                self._bridge.files.save(identity.agent_id, event.keyset.body.roots, event.keyset)
            case ContentFault(error=error):
                self._bridge.tell(FrameRefused(str(error.code), error.detail, error.field, fatal=False))
                self._outgoing.put(Item(Lane.CONTROL, refusal(event), reply_to=event.message_id))
                if event.offset is not None:
                    self._bridge.tell(Passed(number, event.offset))
                self._awake()
            case Received(message=Rotated(kid=kid)):
                self._bridge.tell(KeyTaken(kid))
            case Received(message=GoAway() as bye):
                self._reconnect.asked(bye.after_ms / 1000, bye.spread_ms / 1000)
            case _:
                pass

    async def _write(self, connection: Connection, session: AgentSession) -> None:
        """The only task that sends."""
        assert self._wake is not None
        while True:
            while self._inbox:
                coming = self._inbox.popleft()
                if coming.offset is None or coming.session == self._session_number:
                    self._outgoing.put(coming)
            if self._dropping:
                raise DroppedError(self._dropping)
            item = self._key_item(session) or self._outgoing.take()
            if item is not None:
                await connection.send(self._sealed(session, item))
                continue
            if self._stopping:
                await connection.close(1001, "the agent stops")
                raise DroppedError("the agent stops")
            self._wake.clear()
            if not self._inbox and not self._stopping and not self._dropping and self._next_key is None:
                await self._wake.wait()

    def _key_item(self, session: AgentSession) -> Item | None:
        """The next key, if the master is to learn one."""
        key, self._next_key = self._next_key, None
        return None if key is None else Item(Lane.CONTROL, session.rotate(key))

    def _sealed(self, session: AgentSession, item: Item) -> bytes:
        now_ms = self._session_ms()
        self._sent_offset = max(self._sent_offset, item.offset or 0)
        return session.seal(
            item.message,
            at_ms=now_ms,
            message_id=item.message_id or uuid7(now_ms, os.urandom(RANDOM_BYTES)),
            ack=self._ack,
            offset=item.offset,
            reply_to=item.reply_to,
        )

    async def _beat(self, connection: Connection) -> None:
        """Our heartbeats, and the look at when the master was last heard; our own traffic does not count."""
        while True:
            self._outgoing.put(Item(Lane.CONTROL, Heartbeat(at_ms=self._session_ms()), key="heartbeat"))
            self._awake()
            await asyncio.sleep(self._settings.heartbeat_s * (0.9 + 0.2 * self._bridge.rng.random()))
            silent_s = time.monotonic() - self._last_heard
            if silent_s > self._settings.peer_dead_s:
                connection.abort()
                raise DroppedError(f"nothing was heard of the master for {silent_s:.0f} s")

    def _now_ms(self) -> int:
        return milliseconds(self._bridge.wall())

    def _session_ms(self) -> int:
        """The wall clock as it was at the handshake, gone on by the monotonic one."""
        return self._session_base_ms + int(time.monotonic() * 1000)


def _boot_id() -> str:
    with contextlib.suppress(OSError), open(BOOT_ID_FILE, encoding="ascii") as file:  # noqa: PTH123  # read each time
        return file.read().strip()
    return "unknown"
