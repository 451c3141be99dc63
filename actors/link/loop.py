"""The link's own event loop in its own thread: enrol, connect, handshake, talk; then again.

Everything that crosses to the actor is a frozen message; everything that crosses from it goes over the desk.
"""

import asyncio
import contextlib
import secrets
import time
from dataclasses import replace

import structlog

from actors.clock import milliseconds
from config.link import LinkSettings
from protocol.agent_session import AgentFacts, AgentSession, Established, NewKeyset, Send
from protocol.errors import ProtocolError
from protocol.keys import KeyPair
from protocol.tokens import assertion

from .access import usable
from .conversation import Bridge
from .desk import Desk
from .enroll import enroll
from .errors import DroppedError, EnrollError, LinkError, NotReachedError, NotTakenError
from .identity import Identity
from .messages import FrameRefused, KeyTaken, SessionDown, SessionUp
from .outgoing import Item
from .reconnect import Reconnect
from .talk import Standing, Talk
from .transport import Connection, audience, open_connection

SETTLE_S = 0.1
SETTLE_TURNS = 64
"""Of the loop, before it ends: a transport that was dropped closes its socket some turns later, each of which begins
the next. Turns and not only seconds, since on a busy machine the seconds may pass within one of them."""
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


class LinkLoop:
    """`run` in a thread; everything else from any thread."""

    def __init__(self, settings: LinkSettings, bridge: Bridge, received_offset: int) -> None:
        self._settings, self._bridge = settings, bridge
        self._reconnect = Reconnect(settings)
        self._desk = Desk(received_offset)
        self._session_number = 0
        self._instance = secrets.token_hex(8)
        self._session_base_ms = 0
        """The wall clock at the handshake, less the monotonic one: setting the clock moves no time limit."""
        self._log = structlog.get_logger().bind(actor="link")

    def put(self, item: Item) -> None:
        """Send this when there is a session."""
        self._desk.put(item)

    def acknowledge(self, offset: int) -> None:
        """The master's stream is on our disk up to here; said with the next frame."""
        self._desk.acknowledge(offset)

    def drop(self, why: str) -> None:
        """End this session: the next one begins where the journal is."""
        self._desk.drop(why)

    def rotate(self, key: KeyPair) -> None:
        """Bring this next key to the master, in this session or the next."""
        self._desk.rotate(key)

    def stop(self) -> None:
        """End `run` soon."""
        self._desk.stop()

    # -- the thread ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until stopped. Whatever ends an attempt is a state and a delay, never an exception."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._desk.open()
        while not self._desk.stopping:
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
                break
            delay_s = self._reconnect.delay_s(self._bridge.rng, slow=slow)
            self._log.info("link.down", why=why, next_try_s=round(delay_s, 1))
            self._bridge.tell(SessionDown(state, why, delay_s, None))
            await self._desk.sleep(delay_s)
        await _settled()

    def _ended(self) -> bool:
        return self._desk.stopping

    # -- one attempt -----------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        master = self._reconnect.address()
        identity = await self._identity(master)
        connection, identity = await self._connect(master, identity)
        begun = time.monotonic()
        stood = False
        try:
            offered = self._desk.ack
            session, established = await self._handshake(connection, identity, offered)
            stood = True
            await self._converse(
                Standing(
                    self._session_number + 1, master, connection, session, established, identity, self._session_ms
                ),
                offered,
            )
        finally:
            await connection.gone()
            if stood:
                self._reconnect.ended(time.monotonic() - begun)

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
            _boot_id(), self._instance, connection.certificate_sha256, offered, sent_offset=self._desk.sent_offset
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

    async def _converse(self, on: Standing, offered: int) -> None:
        identity, established = on.identity, on.established
        self._session_number = on.number
        self._desk.dropping = ""
        self._log.info("link.up", master=on.master, skew_ms=established.skew_ms)
        if identity.next_key is not None and identity.key.kid == identity.next_key.kid:
            self._desk.next_key = None
            self._bridge.tell(KeyTaken(identity.key.kid))
        self._bridge.tell(
            SessionUp(
                on.number,
                on.master,
                identity.agent_id,
                established.received_offset,
                established.skew_ms,
                offered,
                established.believed_offset,
                established.keyset_expires_ms,
            )
        )
        await Talk(self._desk, self._bridge, self._settings, self._reconnect, on).run()

    def _now_ms(self) -> int:
        return milliseconds(self._bridge.wall())

    def _session_ms(self) -> int:
        """The wall clock as it was at the handshake, gone on by the monotonic one."""
        return self._session_base_ms + int(time.monotonic() * 1000)


def _boot_id() -> str:
    with contextlib.suppress(OSError), open(BOOT_ID_FILE, encoding="ascii") as file:  # noqa: PTH123  # read each time
        return file.read().strip()
    return "unknown"


async def _settled() -> None:
    """Until what was dropped has closed."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
    await asyncio.sleep(SETTLE_S)
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
