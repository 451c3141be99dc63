"""One agent's connection, on the master's side: handshake, then read, write and watch until either ends."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from protocol.channel import Channel, ContentFault, Received
from protocol.envelope import cut
from protocol.errors import Code, ProtocolError
from protocol.flow import FEATURE, Granting, Lane, Spending, lane_of
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keyset import Role
from protocol.limits import CONTENT_FAULTS_PER_MIN, PEER_DEAD_S, SKEW_SILENT_MS
from protocol.master_session import KnownAgent, MasterSession
from protocol.messages.base import Message
from protocol.messages.control import CommandFrame, Credit, GoAway, Heartbeat, KeysetFrame, Refused, Rotate, Rotated
from protocol.messages.registry import dump
from protocol.messages.reports import CommandProgress, LogLines, Report
from protocol.rotation import OVERLAP_MS

from .admission import Guest, same_agent
from .book import CommandRow
from .on_demand import OnDemand
from .service import Master, now_ms

COMMANDS_AT_A_TIME = 64
KEPT_MAX = 256
"""Durable messages that may wait for the disk; the next is not read before there is room."""
GOODBYE_AFTER_MS, GOODBYE_SPREAD_MS = 1_000, 1_000
ASKED_MAX = 256
"""Commands whose refusal may still come; the oldest is forgotten first."""


class AgentLink:
    """One agent's connection. What an idle one holds is counted: a master has a thousand of them."""

    __slots__ = (
        "_ack",
        "_acked",
        "_asked",
        "_bulk",
        "_bulk_socket",
        "_commands_due",
        "_credited",
        "_dead",
        "_faults",
        "_flow",
        "_granting",
        "_guest",
        "_heard",
        "_kept",
        "_kept_room",
        "_keys",
        "_master",
        "_revoked",
        "_sent",
        "_socket",
        "_writer",
        "agent_id",
        "instance",
        "session",
    )

    def __init__(
        self, master: Master, socket: web.WebSocketResponse, certificates: frozenset[bytes], guest: Guest
    ) -> None:
        self._master, self._socket = master, socket
        self._guest: Guest | None = guest
        self._keys = keys = master.keys
        self.session = MasterSession(
            keys.link,
            keyset_version=keys.keyset.version,
            keyset_document=keys.keyset.document,
            certificates=certificates,
            keyset_chain=keys.chain,
        )
        self.agent_id = ""
        self.instance = ""
        self._ack = 0
        self._acked = 0
        self._sent = 0
        self._commands_due = True
        self._writer = OnDemand(self._write)
        self._flow, self._granting, self._credited = Spending(credited=False), Granting(), False
        self._kept: list[Received] = []
        """Durable messages that wait for the disk: all of them are one commit."""
        self._kept_room: asyncio.Event | None = None
        """Only while somebody waits for room."""
        self._bulk: Channel | None = None
        self._bulk_socket: web.WebSocketResponse | None = None
        self._revoked: Code | None = None
        self._dead = False
        self._asked: dict[bytes, str] = {}
        """Message id -> command id of the commands that were sent here, the oldest first."""
        self._faults: tuple[float, ...] = ()
        """When the last ones were."""
        self._heard = time.monotonic()

    @property
    def _log(self) -> Any:
        return structlog.get_logger().bind(actor="endpoint", agent=self.agent_id)

    @property
    def bulk(self) -> Channel:
        """This session's frames on a second socket."""
        assert self.session.channel is not None
        if self._bulk is None:
            self._bulk = self.session.channel.bulk()
        return self._bulk

    async def take_bulk(self, socket: web.WebSocketResponse) -> None:
        """The agent opened a second socket; one that it had before goes."""
        older, self._bulk_socket = self._bulk_socket, socket
        if older is not None:
            await older.close()
        self.bulk.goes_on()

    def wake(self) -> None:
        """There may be something to send."""
        self._commands_due = True
        self._writer.stir()

    async def handshake(self) -> None:
        """Hello, challenge, auth; the agent is known afterwards."""
        guest, self._guest = self._guest, None  # with all that the book knows of it; a session lives for weeks
        assert guest is not None
        greeting = MasterSession.greet(await self._frame())
        row = await self._master.book(self._master.rows.agent, greeting.hello.agent_id)
        known = None
        if row is not None:
            same_agent(guest, row.agent_id, cut(greeting.frame).kid)
            refused = {"revoked": Code.REVOKED, "quarantined": Code.CLONE}.get(row.state)
            known = KnownAgent(row.agent_id, row.publics(now_ms()), row.received_offset, refused)
            self._ack = self._acked = row.received_offset
        challenge = self.session.answer(
            greeting, known, nonce=secrets.token_bytes(32), session_id=secrets.token_bytes(16), now_ms=now_ms()
        )
        await self._socket.send_bytes(challenge)
        self.session.finish(await self._frame())
        self.agent_id, self.instance = greeting.hello.agent_id, greeting.hello.instance_id
        self._sent = greeting.hello.received_offset
        self._credited = FEATURE in greeting.hello.features
        if row is not None and self.session.public == row.next_public:
            await self._master.key_rotated(row, now_ms() + OVERLAP_MS)
        if abs(self.session.skew_ms) > SKEW_SILENT_MS:
            self._log.warning("link.skew", skew_ms=self.session.skew_ms)

    async def _frame(self) -> bytes:
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is WSMsgType.TEXT:
            raise ProtocolError(Code.FRAME, "a text frame")
        if message.type is WSMsgType.ERROR:  # too long, or not a WebSocket's; the library has closed with its code
            raise ProtocolError(Code.FRAME, "not a frame of this protocol")
        raise ConnectionResetError("the agent closed the connection")

    async def converse(self) -> None:
        """Read and write until either ends. The reader is this task: a fleet pays for each one more."""
        await self._writer.beside(self._read())

    # -- reading ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            messages = self.session.receive(await self._frame())
            self._heard = time.monotonic()
            self._acknowledged()
            for found in messages:
                if isinstance(found, ContentFault):
                    await self._refuse(found)
                elif found.offset is not None:
                    await self._keep(found)
                else:
                    await self._take(found)
                    self._grant(lane_of(found.message, None), found.size_bytes)
            await self._flush()

    def _acknowledged(self) -> None:
        """The agent has more of our stream: there may be room for commands that wait."""
        assert self.session.channel is not None
        full = not self._flow.may(Lane.STATE)
        self._flow.acknowledged(self.session.channel.peer_ack)
        if full:
            self._writer.stir()

    def _grant(self, lane: Lane, size_bytes: int) -> None:
        due = self._granting.consumed(lane, size_bytes)
        if due and self._credited:
            self._say(Credit(channel=lane, bytes=due))

    async def _refuse(self, fault: ContentFault) -> None:
        error = fault.error
        self._master.audit.refused("message", str(error.code), agent=self.agent_id, field=error.field)
        now = time.monotonic()
        if len(self._faults) == CONTENT_FAULTS_PER_MIN and now - self._faults[0] < 60.0:
            await self._flush()  # those before it were told
            await self.close(4422, "too many faults")
            raise ConnectionResetError("too many faults")
        self._faults = (*self._faults[1 - CONTENT_FAULTS_PER_MIN :], now)
        said = Refused(code=str(error.code), retry=_retry(error), detail=error.detail, field=error.field)
        self._say(said, reply_to=fault.message_id)

    async def _keep(self, found: Received) -> None:
        """A durable message: on disk first, acknowledged after."""
        while len(self._kept) >= KEPT_MAX:
            self._kept_room = asyncio.Event()
            await self._kept_room.wait()
        self._kept.append(found)
        self._writer.stir()

    async def _commit(self) -> None:
        """What came while the disk was busy is one commit."""
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        if self._kept_room is not None:
            self._kept_room.set()
            self._kept_room = None
        messages = [(found.offset or 0, found.message.TYPE, _plain(dump(found.message))) for found in kept]
        before = self._ack
        self._ack = await self._master.book(self._master.rows.receive, self.agent_id, messages, now_ms())
        if messages[0][0] <= before:
            self._acked = -1  # it was sent again, so its acknowledgement was lost
        await self._master.notify()

    async def _take(self, found: Received) -> None:
        book, rows = self._book, self._master.rows
        match found.message:
            case Heartbeat():
                self._master.heard[self.agent_id] = now_ms()
                self._say(Heartbeat(at_ms=now_ms()))  # so that the agent knows that we live
            case CommandProgress() as progress:
                await book(rows.progress, self.agent_id, progress.command_id, _plain(dump(progress)), now_ms())
                await self._master.notify()
            case Report() as report:
                await book(rows.report, self.agent_id, dict(report.values), report.at_ms, full=report.full)
                await self._master.notify()
            case Refused() as refused:
                await self._refused(refused, found.reply_to)
            case Rotate() as rotate:
                public = self.session.rotated(rotate)
                await book(rows.set_next_key, self.agent_id, public)
                self._log.info("agent.next_key")
                self._say(Rotated(kid=rotate_kid(public), overlap_ms=OVERLAP_MS), reply_to=found.message_id)
            case LogLines() as lines:
                self._master.streams.put(self.agent_id, lines)
                await self._master.notify()
            case _:
                pass

    async def _book(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What was answered so far leaves before the disk is waited for."""
        await self._flush()
        return await self._master.book(work, *arguments, **named)

    async def _refused(self, refused: Refused, reply_to: bytes | None) -> None:
        """The agent took a message of ours not: of a command the operator learns why."""
        self._log.warning("agent.refused", code=refused.code, field=refused.field)
        command_id = self._asked.get(reply_to or b"") or refused.field
        if not command_id or refused.retry != "no":
            return  # it was not kept, and comes again
        error = {"code": refused.code, "what": "the agent did not take it", "why": refused.detail, "do": ""}
        if await self._book(self._master.rows.refuse_command, self.agent_id, command_id, error, now_ms()):
            await self._master.notify()

    # -- writing ---------------------------------------------------------------------------------------------

    def revoke(self, code: Code) -> None:
        """The agent was deregistered or quarantined: the session ends."""
        self._revoked = code
        self._writer.stir()

    async def _write(self) -> None:
        while self._writer.due():
            if self._dead:
                raise ConnectionResetError("nothing was heard of the agent")
            if self._revoked:
                raise ProtocolError(self._revoked, "not wanted any more")
            await self._send_keyset()
            await self._commit()
            await self._send_commands()
            if self._ack > self._acked:
                self._say(Heartbeat(at_ms=now_ms()))
            await self._flush()

    async def _send_keyset(self) -> None:
        """A keyset that was published meanwhile, before anything that needs it."""
        keys = self._master.keys
        if keys.keyset.version <= self._keys.keyset.version:
            return
        before, self._keys = self._keys, keys
        chain = tuple(document for version, document in keys.chain if version > before.keyset.version)
        self._say(KeysetFrame(document=keys.keyset.document, chain=chain))
        if before.link.kid not in keys.keyset.publics(Role.LINK, now_ms()):
            await self.goodbye()  # this session is signed by a key that holds no more

    async def _send_commands(self) -> None:
        if not self._commands_due:
            return
        self._commands_due = False
        rows = await self._master.book(self._master.rows.commands_after, self.agent_id, self._sent)
        said: list[CommandRow] = []
        for row in rows[:COMMANDS_AT_A_TIME]:
            if not self._flow.may(Lane.STATE):
                self._commands_due = True  # its acknowledgements make room
                break
            if await self._send_command(row):
                said.append(row)
            self._sent = row.offset
        await self._flush()
        for row in said:
            await self._master.book(self._master.rows.mark_command, row.command_id, "sent", now_ms())
        if len(rows) > COMMANDS_AT_A_TIME:
            self.wake()

    async def _send_command(self, row: CommandRow) -> bool:
        """Whether it leaves with the next frames; else the book knows why not."""
        book, rows = self._book, self._master.rows
        if self._master.too_late(row):
            await book(rows.mark_command, row.command_id, "expired", now_ms())
        elif cut(row.envelope).kid not in self._keys.keyset.publics(Role.COMMAND, now_ms()):
            error = {"code": str(Code.RETIRED), "what": "it was not sent", "do": "send it again"}
            error["why"] = "the command key that signed it holds no more"
            await book(rows.refuse_command, self.agent_id, row.command_id, error, now_ms())
            self._master.audit.refused("command", str(Code.RETIRED), agent=self.agent_id, command_id=row.command_id)
            await self._master.notify()
        else:
            message_id = self._say(CommandFrame(envelope=row.envelope), offset=row.offset)
            self._asked[message_id] = row.command_id
            if len(self._asked) > ASKED_MAX:
                del self._asked[next(iter(self._asked))]
            return True
        return False

    def _say(self, message: Message, *, offset: int | None = None, reply_to: bytes | None = None) -> bytes:
        """Let it leave with the next `_flush`; its message id."""
        assert self.session.channel is not None
        at_ms = now_ms()
        message_id = uuid7(at_ms, os.urandom(RANDOM_BYTES))
        size_bytes = self.session.channel.put(
            message, at_ms=at_ms, message_id=message_id, ack=self._ack, offset=offset, reply_to=reply_to
        )
        self._acked = self._ack
        self._flow.spend(Lane.CONTROL, size_bytes, offset)
        return message_id

    async def _flush(self) -> None:
        """What was said leaves together. A frame is in the socket's buffer before anybody else can make the next."""
        assert self.session.channel is not None
        while (frame := self.session.channel.frame()) is not None:
            await self._socket.send_bytes(frame)

    def watch(self, now_s: float) -> None:
        """A peer that says nothing is dead, whatever we send."""
        if now_s - self._heard > PEER_DEAD_S:
            self._dead = True
            self._writer.stir()

    async def goodbye(self, spread_ms: int = GOODBYE_SPREAD_MS) -> None:
        """The master will be away for a moment."""
        self._say(GoAway(after_ms=GOODBYE_AFTER_MS, spread_ms=spread_ms))
        await self._flush()
        await self.close(WSCloseCode.GOING_AWAY, "the master stops")

    async def close(self, code: int, reason: str) -> None:
        """Close, but not for long."""
        if self._bulk_socket is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._bulk_socket.close(), 2.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._socket.close(code=code, message=reason.encode()[:120]), 2.0)


def rotate_kid(public: bytes) -> bytes:
    """The id of a key, as `rotated` says it."""
    from protocol.keys import key_id

    return key_id(public)


def _retry(error: ProtocolError) -> Any:
    return "later" if error.retry == "later" else "no"


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: inner.hex() if isinstance(inner, bytes) else inner for key, inner in value.items()}
