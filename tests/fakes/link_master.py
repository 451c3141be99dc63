"""A master by script: the real door, TLS, handshake and frames, and behind them what a test or a benchmark writes.

`serve` runs in any event loop; `folder` has the keys and certificates that `mosalama-master init` makes.
"""

import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSMsgType, web

from actors.link.transport import BULK_PATH, PATH, SUBPROTOCOL
from actors.master.certs import CERTIFICATE_FILE, KEY_FILE
from actors.master.keys import MasterKeys, load_keys
from protocol.channel import Channel, ContentFault, Received
from protocol.errors import ProtocolError
from protocol.flow import Granting, lane_of
from protocol.limits import FRAME_MAX_BYTES
from protocol.master_session import KnownAgent, MasterSession
from protocol.messages.base import Message
from protocol.messages.control import Credit
from tests.fakes.framed import framed


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class Peer:
    """One session with an agent."""

    session: MasterSession
    socket: web.WebSocketResponse
    features: tuple[str, ...]
    has: int
    """What the agent had of our stream."""
    ack: int = 0
    granting: Granting = field(default_factory=Granting)
    came: list[Received] = field(default_factory=list)
    """Of the last frame, what was not taken yet."""
    frames: list[tuple[str, ...]] = field(default_factory=list)
    """The words of the messages of each frame that came."""

    async def send(self, message: Message, *, offset: int | None = None) -> None:
        frame = framed(
            self.session, message, at_ms=now_ms(), message_id=secrets.token_bytes(16), ack=self.ack, offset=offset
        )
        await self.socket.send_bytes(frame)

    async def take(self) -> tuple[Received, int]:
        """The next message and what it counts in its lane; ConnectionError at the end."""
        if not self.came:
            self.came = _good(self.session.receive(await _frame(self.socket)))
            self.frames.append(tuple(one.message.TYPE for one in self.came))
        found = self.came.pop(0)
        return found, found.size_bytes

    async def grant(self, found: Received, size: int) -> None:
        """What was taken is consumed: give its credit back, as a master does."""
        lane = lane_of(found.message, found.offset)
        due = self.granting.consumed(lane, size)
        if due:
            await self.send(Credit(channel=lane, bytes=due))


@dataclass
class Scripted:
    """What one master does: `talk` with each session, `bulk` with each second socket."""

    keys: MasterKeys
    publics: tuple[bytes, ...]
    talk: Callable[[Peer], Awaitable[None]]
    bulk: Callable[[Callable[[], Awaitable[Received]]], Awaitable[None]] | None = None
    peer: Peer | None = None
    received_offset: int = 0
    bulk_sockets: int = 0
    channel: Channel | None = None

    async def door(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL], compress=False, max_msg_size=FRAME_MAX_BYTES)
        await socket.prepare(request)
        keys = self.keys
        session = MasterSession(
            keys.link, keyset_version=keys.keyset.version, keyset_document=keys.keyset.document, keyset_chain=keys.chain
        )
        try:
            greeting = MasterSession.greet(await _frame(socket))
            known = KnownAgent(greeting.hello.agent_id, self.publics, self.received_offset)
            await socket.send_bytes(
                session.answer(
                    greeting,
                    known,
                    nonce=secrets.token_bytes(32),
                    session_id=secrets.token_bytes(16),
                    now_ms=now_ms(),
                )
            )
            self.channel = session.finish(await _frame(socket)).bulk()
            self.peer = Peer(session, socket, greeting.hello.features, greeting.hello.received_offset)
            self.peer.ack = self.received_offset
            await self.talk(self.peer)
        except (ConnectionError, ProtocolError):
            pass
        finally:
            await socket.close()
        return socket

    async def bulk_door(self, request: web.Request) -> web.StreamResponse:
        if self.bulk is None or self.channel is None:
            return web.Response(status=404)
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL], compress=False, max_msg_size=FRAME_MAX_BYTES)
        await socket.prepare(request)
        self.bulk_sockets += 1
        channel = self.channel
        channel.goes_on()
        came: list[Received] = []

        async def take() -> Received:
            if not came:
                came.extend(_good(channel.open(await _frame(socket))))
            return came.pop(0)

        try:
            await self.bulk(take)
        except (ConnectionError, ProtocolError):
            pass
        return socket


def _good(found: list[Received | ContentFault]) -> list[Received]:
    messages = [one for one in found if isinstance(one, Received)]
    assert messages == found, found
    return messages


async def _frame(socket: web.WebSocketResponse) -> bytes:
    message = await socket.receive()
    if message.type is not WSMsgType.BINARY:
        raise ConnectionResetError("the agent closed the connection")
    return bytes(message.data)


async def serve(folder: Path, scripted: Scripted, port: int = 0) -> tuple[web.AppRunner, int]:
    """Listen; clean the runner up to end it."""
    app = web.Application()
    app.add_routes([web.get(PATH, scripted.door), web.get(BULK_PATH, scripted.bulk_door)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, reuse_address=True)
    await site.start()
    return runner, runner.addresses[0][1]


def scripted(folder: Path, publics: tuple[bytes, ...], talk, bulk=None) -> Scripted:
    """A script for the keys of this folder."""
    return Scripted(load_keys(folder), publics, talk, bulk)
