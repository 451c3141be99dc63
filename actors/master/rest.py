"""The master's HTTP doors: enrollment for machines, and the operator's API on its owner's unix socket."""

import asyncio
import contextlib
from typing import Any

import structlog
from aiohttp import web

from protocol.errors import Code, ProtocolError

from .service import Master

ENROL_PATH = "/v1/enrol"
ENROL_MAX_BYTES = 65_536
OPERATOR_MAX_BYTES = 1 << 20
WAIT_MAX_S = 60.0
EVENTS_MAX = 10_000
STATUS = {Code.TOKEN: 403, Code.TOKEN_USED: 403, Code.REVOKED: 403, Code.KEY_ID: 400, Code.BUSY: 503}


def enrollment_routes(master: Master) -> list[web.RouteDef]:
    """The one door that a machine without an identity may use."""

    async def enrol(request: web.Request) -> web.Response:
        body = await request.read()  # more than client_max_size is answered with 413
        try:
            answer = await master.enrol(body)
        except ProtocolError as error:
            structlog.get_logger().warning("enrol.refused", actor="rest", code=str(error.code), peer=request.remote)
            return web.json_response(_error(error), status=STATUS.get(error.code, 400))
        return web.Response(body=answer, content_type="application/msgpack")

    return [web.post(ENROL_PATH, enrol)]


def operator_app(master: Master) -> web.Application:
    """Everything an operator can ask for, as JSON."""
    app = web.Application(client_max_size=OPERATOR_MAX_BYTES, middlewares=[_errors])
    operator = _Operator(master)
    app.add_routes(
        [
            web.post("/v1/tokens", operator.create_token),
            web.get("/v1/agents", operator.agents),
            web.get("/v1/agents/{agent}", operator.agent),
            web.post("/v1/agents/{agent}/state", operator.set_state),
            web.post("/v1/agents/{agent}/commands", operator.command),
            web.get("/v1/commands/{command}", operator.show_command),
            web.get("/v1/events", operator.events),
            web.get("/v1/alerts", operator.alerts),
        ]
    )
    return app


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Every refusal is JSON with a code and words."""
    try:
        response: web.StreamResponse = await handler(request)
    except ProtocolError as error:
        return web.json_response(_error(error), status=STATUS.get(error.code, 400))
    except (KeyError, TypeError, ValueError) as error:
        return web.json_response({"code": "E_SCHEMA", "detail": f"{type(error).__name__}: {error}"[:200]}, status=400)
    return response


class _Operator:
    """One method for each door."""

    def __init__(self, master: Master) -> None:
        self._master = master

    async def create_token(self, request: web.Request) -> web.Response:
        """A join token, shown once."""
        asked = await request.json()
        token = await self._master.create_token(float(asked["ttl_s"]), int(asked["uses"]), str(asked["note"]))
        return web.json_response({"token": token.text(), "token_id": token.token_id.hex(), "ttl_s": asked["ttl_s"]})

    async def agents(self, _request: web.Request) -> web.Response:
        """Every agent."""
        return web.json_response({"agents": await self._master.show_agents()})

    async def agent(self, request: web.Request) -> web.Response:
        """One agent with its latest figures."""
        shown = await self._master.show_agent(request.match_info["agent"])
        return _found(shown, "no such agent; see: mosalama-master agents")

    async def set_state(self, request: web.Request) -> web.Response:
        """Revoke an agent, or take it back."""
        state = (await request.json())["state"]
        if state not in {"active", "revoked"}:
            raise ProtocolError(Code.SCHEMA, "a state is active or revoked", "state")
        agent_id = request.match_info["agent"]
        await self._master.set_state(agent_id, state)
        return _found(await self._master.show_agent(agent_id), "no such agent")

    async def command(self, request: web.Request) -> web.Response:
        """Queue a command."""
        asked = await request.json()
        row = await self._master.command(
            request.match_info["agent"], str(asked["word"]), asked.get("payload", {}), asked.get("ttl_ms")
        )
        return _found(await self._master.show_command(row.command_id), "")

    async def show_command(self, request: web.Request) -> web.Response:
        """One command; with `wait` and `seen` only when it is newer than `seen`."""
        wait_s = min(float(request.query.get("wait", "0")), WAIT_MAX_S)
        seen = int(request.query.get("seen", "0"))
        command_id = request.match_info["command"]

        async def look() -> dict[str, Any] | None:
            return await self._master.show_command(command_id)

        shown = await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s or 0.001):
                while shown is not None and shown["updated_ms"] <= seen:
                    async with self._master.changed:
                        await self._master.changed.wait()
                    shown = await look()
        return _found(shown, "no such command")

    async def events(self, request: web.Request) -> web.Response:
        """Events after a position, oldest first."""
        after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "1000"))
        rows = self._master.rows
        found = await self._master.book(rows.events, after, min(limit, EVENTS_MAX), request.query.get("agent"))
        return web.json_response({"events": list(found)})

    async def alerts(self, request: web.Request) -> web.Response:
        """Every alert in its newest state."""
        found = await self._master.book(self._master.rows.alerts, request.query.get("agent"))
        return web.json_response({"alerts": list(found)})


def _found(shown: dict[str, Any] | None, missing: str) -> web.Response:
    if shown is None:
        return web.json_response({"code": "E_NOT_FOUND", "detail": missing}, status=404)
    return web.json_response(shown)


def _error(error: ProtocolError) -> dict[str, Any]:
    return {"code": str(error.code), "detail": error.detail, "field": error.field}
