"""Commands of people on this machine, over the control socket: the same commands as the master's, on the same way.

Each is sealed with the machine's own key, kept in the journal before it is answered, carried out by the actor that owns
its family, and told to the master as an event that names the user. Who may write the socket may command: its file says
who that is. The port has no such door.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from actors.clock import WallClock, milliseconds
from actors.journal import messages as journal
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from protocol.command import SignedCommand, seal_command
from protocol.errors import Code, ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keys import KeyPair
from protocol.messages.base import Command
from protocol.messages.registry import COMMAND_TABLE, parse
from protocol.messages.reports import CommandResult

from .headers import HEADERS

FAMILIES = frozenset({"model"})
"""What may be commanded here; engines are the master's."""
TTL_MS = 60_000
JOURNAL_S = 10.0
PEER = struct.Struct("3i")
"""struct ucred: process, user, group."""


class Desk:
    """Takes commands and says what became of them. `key` gives the machine's own, `label` is the id it goes by."""

    def __init__(self, key: Callable[[], KeyPair], label: str, journal_handle: Handle, wall: WallClock) -> None:
        self._key, self._label, self._journal, self._wall = key, label, journal_handle, wall

    def routes(self) -> list[web.RouteDef]:
        """For the control socket only."""
        return [web.post("/v1/commands", self._post), web.get("/v1/commands/{command_id:[0-9a-f]{32}}", self._get)]

    async def _post(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            word, payload = str(body["command"]), _tuples(body.get("payload", {}))
            signed = self._sealed(word, payload)
        except ProtocolError as error:
            return _answer(422, {"code": error.code, "what": f"{error.detail} {error.field or ''}".strip()})
        except (ValueError, TypeError, KeyError, AttributeError):
            return _answer(400, {"code": "E_DECODE", "what": 'the body is {"command": WORD, "payload": {...}}'})
        answer = await asyncio.to_thread(self._ask, journal.AcceptLocal(signed, _who(request)))
        if isinstance(answer, journal.Accepted):
            return _answer(202, {"command_id": signed.command_id, "state": "accepted"})
        detail = answer.detail if isinstance(answer, journal.NotAccepted) else str(answer)
        return _answer(503, {"code": "E_BUSY", "what": "the command was not kept", "why": detail})

    def _sealed(self, word: str, payload: Any) -> SignedCommand:
        if word.partition(".")[0] not in FAMILIES:
            raise ProtocolError(Code.UNKNOWN_OP, f"{word[:40]} may not be asked here")
        command = parse(COMMAND_TABLE, word, payload)
        assert isinstance(command, Command)
        now_ms = milliseconds(self._wall())
        raw_id = uuid7(now_ms, os.urandom(RANDOM_BYTES))
        envelope = seal_command(self._key(), self._label, raw_id, now_ms, TTL_MS, command)
        return SignedCommand(raw_id.hex(), now_ms, TTL_MS, command, envelope)

    async def _get(self, request: web.Request) -> web.Response:
        found = await asyncio.to_thread(self._ask, journal.ReadCommand(request.match_info["command_id"]))
        if not isinstance(found, journal.CommandState):
            return _answer(404, {"code": "E_NOT_FOUND", "what": "there is no such command", "why": str(found or "")})
        shown: dict[str, Any] = {"state": found.state, "error": None, "data": {}, "rows": []}
        if isinstance(found.result, CommandResult):
            plain = found.result.model_dump(mode="json")
            shown |= {name: plain[name] for name in ("error", "data", "rows")}
        return _answer(200, shown)

    def _ask(self, message: object) -> object:
        try:
            return self._journal.call(message, timeout_s=JOURNAL_S)
        except SupervisionError as error:
            return str(error)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that messages are made of."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _who(request: web.Request) -> str:
    """The user at the other end, as the kernel says it."""
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        return "somebody"
    pid, uid, _ = PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return f"user {uid} (process {pid})"


def _answer(status: int, body: Mapping[str, Any]) -> web.Response:
    return web.json_response(dict(body), status=status, headers=HEADERS)
