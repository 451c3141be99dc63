"""The link endpoint: one WebSocket for each agent, on the master's side of the protocol.

aiohttp carries both doors on one port. TLS in asyncio takes a buffer of 256 KiB for each connection, which is most of
what an idle agent costs its master; `shrink_tls_buffer` makes it 32 KiB.
"""

import asyncio
import asyncio.sslproto
import contextlib
import os
import secrets
import time
from collections import deque
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from protocol.channel import ContentFault, Received
from protocol.errors import Code, ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.limits import (
    CONTENT_FAULTS_PER_MIN,
    FRAME_MAX_BYTES,
    HANDSHAKE_MAX_S,
    HEARTBEAT_S,
    PEER_DEAD_S,
)
from protocol.master_session import KnownAgent, MasterSession
from protocol.messages.base import Message
from protocol.messages.control import CommandFrame, GoAway, Heartbeat, Refused, Rotate
from protocol.messages.registry import dump
from protocol.messages.reports import CommandProgress, Report
from protocol.tokens import TYPE_ASSERTION, check_token, token_subject

from .service import Master, now_ms

PATH = "/v1/link"
SUBPROTOCOL = "mosalama.v1"
TLS_BUFFER_BYTES = 32_768
UNAUTHENTICATED_MAX = 2_000
COMMANDS_AT_A_TIME = 64
GOODBYE_SPREAD_MS = 4_000


def shrink_tls_buffer() -> None:
    """Less memory for each TLS connection of this process."""
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


class Endpoint:
    """All links of one master."""

    def __init__(self, master: Master, certificates: frozenset[bytes]) -> None:
        self._master, self._certificates = master, certificates
        self._links: dict[str, _Link] = {}
        self._greeting = 0
        self._log = structlog.get_logger().bind(actor="endpoint")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One upgrade: strangers are refused before there is a WebSocket."""
        try:
            await self._check_assertion(request)
        except ProtocolError as error:
            return web.json_response({"code": str(error.code)}, status=401)
        if self._greeting >= UNAUTHENTICATED_MAX:
            return web.json_response({"code": "E_BUSY"}, status=503, headers={"Retry-After": "5"})
        socket = web.WebSocketResponse(
            protocols=[SUBPROTOCOL], compress=False, max_msg_size=FRAME_MAX_BYTES, autoping=True, timeout=2.0
        )
        await socket.prepare(request)
        link = _Link(self._master, socket, self._certificates)
        try:
            await self._serve(link)
        except ProtocolError as error:
            self._log.warning("link.refused", code=str(error.code), agent=link.agent_id)
            await link.close(error.close_code or 4400, str(error.code))
        except (ConnectionError, TimeoutError) as error:
            self._log.info("link.lost", agent=link.agent_id, why=str(error) or type(error).__name__)
            await link.close(WSCloseCode.GOING_AWAY, "")
        finally:
            await self._forget(link)
        return socket

    async def _serve(self, link: "_Link") -> None:
        self._greeting += 1
        try:
            async with asyncio.timeout(HANDSHAKE_MAX_S):
                await link.handshake()
        except TimeoutError:
            raise ProtocolError(Code.HANDSHAKE_TIMEOUT) from None
        finally:
            self._greeting -= 1
        older = self._links.get(link.agent_id)
        if older is not None:
            await older.close(4409, "a newer connection of the same agent")
        self._links[link.agent_id] = link
        self._master.connected[link.agent_id] = time.time()
        self._master.listen(link.agent_id, link.wake)
        self._master.on_revoked(link.agent_id, link.revoke)
        self._log.info("link.up", agent=link.agent_id, skew_ms=link.session.skew_ms)
        await self._master.notify()
        await link.converse()

    async def _forget(self, link: "_Link") -> None:
        if self._links.get(link.agent_id) is link:
            del self._links[link.agent_id]
            self._master.connected.pop(link.agent_id, None)
            self._master.listen(link.agent_id, None)
            self._master.on_revoked(link.agent_id, None)
            await self._master.notify()

    async def _check_assertion(self, request: web.Request) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            raise ProtocolError(Code.TOKEN, "no token")
        agent = await self._master.book(self._master.rows.agent, token_subject(token))
        if agent is None:
            raise ProtocolError(Code.TOKEN, "unknown")
        audience = f"{request.host}{PATH}"
        publics = [agent.public, *([agent.next_public] if agent.next_public else [])]
        for public in publics:
            with contextlib.suppress(ProtocolError):
                check_token(token, public, TYPE_ASSERTION, audience, now_ms() // 1000)
                return
        raise ProtocolError(Code.TOKEN, "does not hold")

    async def close(self) -> None:
        """Say goodbye to every agent: come back soon, not all at once."""
        links = list(self._links.values())
        await asyncio.gather(*(link.goodbye() for link in links), return_exceptions=True)


class _Link:
    """One agent's connection."""

    def __init__(self, master: Master, socket: web.WebSocketResponse, certificates: frozenset[bytes]) -> None:
        self._master, self._socket = master, socket
        keys = master.keys
        self.session = MasterSession(
            keys.link,
            keyset_version=keys.keyset.version,
            keyset_document=keys.keyset.document,
            certificates=certificates,
        )
        self.agent_id = ""
        self._ack = 0
        self._acked = 0
        self._sent = 0
        self._work = asyncio.Event()
        self._revoked = False
        self._faults: deque[float] = deque(maxlen=CONTENT_FAULTS_PER_MIN)
        self._heard = time.monotonic()
        self._log = structlog.get_logger().bind(actor="endpoint")

    def wake(self) -> None:
        """There may be something to send."""
        self._work.set()

    async def handshake(self) -> None:
        """Hello, challenge, auth; the agent is known afterwards."""
        greeting = MasterSession.greet(await self._frame())
        row = await self._master.book(self._master.rows.agent, greeting.hello.agent_id)
        known = None
        if row is not None:
            publics = (row.public, *((row.next_public,) if row.next_public else ()))
            known = KnownAgent(row.agent_id, publics, row.received_offset, row.state == "revoked")
            self._ack = self._acked = row.received_offset
        challenge = self.session.answer(
            greeting, known, nonce=secrets.token_bytes(32), session_id=secrets.token_bytes(16), now_ms=now_ms()
        )
        await self._socket.send_bytes(challenge)
        self.session.finish(await self._frame())
        self.agent_id = greeting.hello.agent_id
        self._sent = greeting.hello.received_offset
        self._log = self._log.bind(agent=self.agent_id)
        self._work.set()

    async def _frame(self) -> bytes:
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is WSMsgType.TEXT:
            raise ProtocolError(Code.FRAME, "a text frame")
        raise ConnectionResetError("the agent closed the connection")

    async def converse(self) -> None:
        """Read and write until either ends."""
        tasks = [asyncio.create_task(work()) for work in (self._read, self._write, self._watch)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    # -- reading ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            found = self.session.receive(await self._frame())
            self._heard = time.monotonic()
            if isinstance(found, ContentFault):
                await self._refuse(found)
            elif found.offset is not None:
                await self._keep(found)
            else:
                await self._take(found)

    async def _refuse(self, fault: ContentFault) -> None:
        error = fault.error
        self._log.warning("message.refused", code=str(error.code), field=error.field)
        now = time.monotonic()
        if len(self._faults) == CONTENT_FAULTS_PER_MIN and now - self._faults[0] < 60.0:
            await self.close(4422, "too many faults")
            raise ConnectionResetError("too many faults")
        self._faults.append(now)
        await self._send(Refused(code=str(error.code), retry=_retry(error), detail=error.detail, field=error.field))

    async def _keep(self, found: Received) -> None:
        """A durable message: on disk first, acknowledged after."""
        assert found.offset is not None
        message = (found.offset, found.message.TYPE, _plain(dump(found.message)))
        self._ack = await self._master.book(self._master.rows.receive, self.agent_id, [message], now_ms())
        self._work.set()
        await self._master.notify()

    async def _take(self, found: Received) -> None:
        book, rows = self._master.book, self._master.rows
        match found.message:
            case Heartbeat():
                await book(rows.seen, self.agent_id, now_ms())
                self._acked = -1  # a heartbeat is answered, so that the agent knows that we live
                self._work.set()
            case CommandProgress() as progress:
                await book(rows.progress, progress.command_id, _plain(dump(progress)), now_ms())
                await self._master.notify()
            case Report() as report:
                await book(rows.report, self.agent_id, dict(report.values), report.at_ms, full=report.full)
                await self._master.notify()
            case Refused() as refused:
                self._log.warning("agent.refused", code=refused.code, field=refused.field)
                if refused.field and refused.retry == "no":  # else it was not kept, and comes again
                    await book(rows.mark_command, refused.field, "refused", now_ms())
                    await self._master.notify()
            case Rotate():
                await self._refuse(ContentFault(ProtocolError(Code.UNKNOWN_OP, "not yet"), None, None))
            case _:
                pass

    # -- writing ---------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """The agent was deregistered: the session ends."""
        self._revoked = True
        self._work.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if self._revoked:
                raise ProtocolError(Code.REVOKED, "deregistered")
            await self._send_commands()
            if self._ack > self._acked:
                await self._send(Heartbeat(at_ms=now_ms()))

    async def _send_commands(self) -> None:
        rows = await self._master.book(self._master.rows.commands_after, self.agent_id, self._sent)
        for row in rows[:COMMANDS_AT_A_TIME]:
            if now_ms() > row.issued_ms + row.ttl_ms:
                await self._master.book(self._master.rows.mark_command, row.command_id, "expired", now_ms())
            else:
                await self._send(CommandFrame(envelope=row.envelope), offset=row.offset)
                await self._master.book(self._master.rows.mark_command, row.command_id, "sent", now_ms())
            self._sent = row.offset
        if len(rows) > COMMANDS_AT_A_TIME:
            self._work.set()

    async def _send(self, message: Message, *, offset: int | None = None) -> None:
        at_ms = now_ms()
        message_id = uuid7(at_ms, os.urandom(RANDOM_BYTES))
        frame = self.session.seal(message, at_ms=at_ms, message_id=message_id, ack=self._ack, offset=offset)
        self._acked = self._ack
        await self._socket.send_bytes(frame)

    async def _watch(self) -> None:
        """A peer that says nothing is dead, whatever we send."""
        while True:
            await asyncio.sleep(HEARTBEAT_S / 2)
            if time.monotonic() - self._heard > PEER_DEAD_S:
                raise ConnectionResetError("nothing was heard of the agent")

    async def goodbye(self) -> None:
        """The master will be away for a moment."""
        await self._send(GoAway(after_ms=200, spread_ms=GOODBYE_SPREAD_MS))
        await self.close(WSCloseCode.GOING_AWAY, "the master stops")

    async def close(self, code: int, reason: str) -> None:
        """Close, but not for long."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._socket.close(code=code, message=reason.encode()[:120]), 2.0)


def certificate_digest(pem: str) -> bytes:
    """What agents see of our certificate."""
    import hashlib
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


def _retry(error: ProtocolError) -> Any:
    return "later" if error.retry == "later" else "no"


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: inner.hex() if isinstance(inner, bytes) else inner for key, inner in value.items()}
