"""The link endpoint: one WebSocket for each agent, on the master's side of the protocol.

aiohttp carries both doors on one port. TLS in asyncio takes a buffer of 256 KiB for each connection, which is most of
what an idle agent costs its master; `shrink_tls_buffer` makes it 8 KiB.
"""

import asyncio
import asyncio.sslproto
import contextlib
import time

import structlog
from aiohttp import WSCloseCode, web

from protocol.errors import Code, ProtocolError
from protocol.limits import FRAME_MAX_BYTES, HANDSHAKE_MAX_S, HEARTBEAT_S

from .admission import Admission
from .agent_link import GOODBYE_SPREAD_MS, AgentLink
from .audit import Audit
from .doors import Doors
from .service import Master

PATH = "/v1/link"
SUBPROTOCOL = "mosalama.v1"
TLS_BUFFER_BYTES = 8_192
UNAUTHENTICATED_MAX = 2_000
RETURNS_PER_S = 400
"""What one master takes back in a second without hurry: two thirds of what a core can, with TLS."""


def shrink_tls_buffer() -> None:
    """Less memory for each TLS connection of this process."""
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


class Endpoint:
    """All links of one master."""

    def __init__(self, master: Master, certificates: frozenset[bytes]) -> None:
        self._master = master
        self.certificates = certificates
        """Digests of the certificates that this master shows or showed: an agent that sees another is not alone."""
        self.admission = Admission(master, master.audit)
        self.doors: Doors | None = None
        self._links: dict[str, AgentLink] = {}
        self._greeting = 0
        self._log = structlog.get_logger().bind(actor="endpoint")

    def link(self, agent_id: str) -> AgentLink | None:
        """The session of this agent, if it is connected."""
        return self._links.get(agent_id)

    @property
    def audit(self) -> Audit:
        """Where refusals are counted."""
        return self._master.audit

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One upgrade: strangers are refused before there is a WebSocket."""
        try:
            guest = await self.admission.admit(request, PATH)
        except ProtocolError as error:
            return self.admission.refusal(error, "upgrade", request)
        if self._greeting >= UNAUTHENTICATED_MAX:
            return self.admission.refusal(ProtocolError(Code.BUSY), "upgrade", request)
        socket = web.WebSocketResponse(
            protocols=[SUBPROTOCOL], compress=False, max_msg_size=FRAME_MAX_BYTES, autoping=True, timeout=2.0
        )
        with contextlib.suppress(ConnectionError):  # who has gone by now is answered by nobody
            await socket.prepare(request)
        if not socket.prepared:
            return web.Response(status=400)
        link, agent_id = AgentLink(self._master, socket, self.certificates, guest), guest.agent.agent_id
        del guest  # and with it all that the book knows of the agent
        try:
            await self._serve(link, request)
        except ProtocolError as error:
            await self._refused(link, agent_id, error)
        except (ConnectionError, TimeoutError) as error:
            self._log.info("link.lost", agent=link.agent_id, why=str(error) or type(error).__name__)
            await link.close(WSCloseCode.GOING_AWAY, "")
        finally:
            await self._forget(link)
        return socket

    async def _refused(self, link: AgentLink, agent_id: str, error: ProtocolError) -> None:
        """One line, one count, and the code; a certificate that is not ours is an alarm."""
        self._master.audit.refused("link", str(error.code), agent=agent_id, detail=error.detail)
        if error.code not in {Code.REVOKED, Code.CLONE, Code.CLOCK, Code.HANDSHAKE_TIMEOUT}:
            self.admission.fault(agent_id)
        if error.code is Code.CERTIFICATE:
            await self._master.alarm(agent_id, "master.certificate_differs", str(error))
        await link.close(error.close_code or 4400, str(error.code))

    async def _serve(self, link: AgentLink, request: web.Request) -> None:
        self._greeting += 1
        try:
            async with asyncio.timeout(HANDSHAKE_MAX_S):
                await link.handshake()
        except TimeoutError:
            raise ProtocolError(Code.HANDSHAKE_TIMEOUT) from None
        finally:
            self._greeting -= 1
        if self.doors is not None and request.transport is not None:
            self.doors.welcome(request.transport.get_extra_info("peername"))
        older = self._links.get(link.agent_id)
        if self._master.instances.came(link.agent_id, link.instance):
            await self._clone(link, older)
        if older is not None:
            await older.close(4409, "a newer connection of the same agent")
        self._links[link.agent_id] = link
        self._master.connected[link.agent_id] = time.time()
        self._master.listen(link.agent_id, link.wake)
        self._master.on_revoked(link.agent_id, link.revoke)
        self._log.info("link.up", agent=link.agent_id, skew_ms=link.session.skew_ms)
        await self._master.notify()
        await link.converse()

    async def _clone(self, link: AgentLink, older: AgentLink | None) -> None:
        """Two machines have one key: neither is believed until an operator has looked."""
        await self._master.quarantine(link.agent_id, link.instance)
        if older is not None:
            await older.close(4403, str(Code.CLONE))
        raise ProtocolError(Code.CLONE, "two machines have this agent's key")

    async def _forget(self, link: AgentLink) -> None:
        if self._links.get(link.agent_id) is link:
            del self._links[link.agent_id]
            self._master.connected.pop(link.agent_id, None)
            self._master.listen(link.agent_id, None)
            self._master.on_revoked(link.agent_id, None)
            await self._master.notify()

    async def close(self) -> None:
        """Say goodbye to every agent: come back soon, not all at once."""
        links = list(self._links.values())
        spread_ms = max(GOODBYE_SPREAD_MS, len(links) * 1_000 // RETURNS_PER_S)
        await asyncio.gather(*(link.goodbye(spread_ms) for link in links), return_exceptions=True)

    async def watch(self) -> None:
        """Look at every link now and then, until cancelled: one timer for all of them."""
        while True:
            await asyncio.sleep(HEARTBEAT_S / 2)
            for link in list(self._links.values()):
                link.watch(time.monotonic())
            await self.look_at_clock()

    async def look_at_clock(self) -> None:
        """A session judges time limits by the clock of its handshake: after ours was set, each begins anew."""
        moved_ms = self._master.clock_set_ms()
        if not moved_ms:
            return
        way = f"{abs(moved_ms) // 1_000} s {'back' if moved_ms < 0 else 'ahead'}"
        text = f"the clock of the master was set {way}; every agent connects anew"
        await self._master.alarm("", "master.clock_set", text, "warning")
        await self.close()


def certificate_digest(pem: str) -> bytes:
    """What agents see of our certificate."""
    import hashlib
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
