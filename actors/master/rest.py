"""The master's HTTP doors: enrollment for machines, and the operator's API on its owner's unix socket."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from aiohttp import web

from protocol.errors import Code, ProtocolError

from .admission import Admission
from .enrolment import Enrolment
from .service import Master, now_ms

ENROL_PATH = "/v1/enrol"
TOKEN_PATH = "/v1/token"  # noqa: S105  # a path
KEYSET_PATH = "/v1/keyset"
ENROL_MAX_BYTES = 65_536
BODY_S = 10.0
"""How long the body of a request may take to come."""
OPERATOR_MAX_BYTES = 1 << 20
WAIT_MAX_S = 60.0
EVENTS_MAX = 10_000
STATUS = {Code.TOKEN: 403, Code.TOKEN_USED: 403, Code.REVOKED: 403, Code.KEY_ID: 400, Code.BUSY: 503}


def agent_routes(master: Master, enrolment: Enrolment, admission: Admission) -> list[web.RouteDef]:
    """The doors of machines beside the link: enrollment, a new access token, the keyset."""

    async def enrol(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.read()  # more than client_max_size is answered with 413
            answer = await enrolment.enrol(body, request.remote)
        except TimeoutError:
            master.audit.refused("enrol", str(Code.HANDSHAKE_TIMEOUT), peer=request.remote)
            raise web.HTTPRequestTimeout from None
        except ProtocolError as error:
            master.audit.refused("enrol", str(error.code), peer=request.remote)
            return web.json_response(_error(error), status=STATUS.get(error.code, 400))
        return web.Response(body=answer, content_type="application/msgpack")

    async def renew(request: web.Request) -> web.Response:
        """Only the agent's own assertion of this minute gets a new token: an old one cannot prolong itself."""
        try:
            guest = await admission.admit(request, TOKEN_PATH)
        except ProtocolError as error:
            return admission.refusal(error, "token", request)
        if guest.kid is not None or guest.agent.state != "active":
            return admission.refusal(ProtocolError(Code.TOKEN), "token", request)
        return web.json_response({"access_token": enrolment.access(guest.agent.agent_id, guest.signed_by)})

    async def keyset(request: web.Request) -> web.Response:
        try:
            await admission.admit(request, KEYSET_PATH)
        except ProtocolError as error:
            return admission.refusal(error, "keyset", request)
        return web.Response(body=master.keys.keyset.document, content_type="application/msgpack")

    return [web.post(ENROL_PATH, enrol), web.post(TOKEN_PATH, renew), web.get(KEYSET_PATH, keyset)]


def operator_app(master: Master, enrolment: Enrolment, directory: Path) -> web.Application:
    """Everything an operator can ask for, as JSON."""
    app = web.Application(client_max_size=OPERATOR_MAX_BYTES, middlewares=[_errors])
    operator = _Operator(master, enrolment, directory)
    app.add_routes(
        [
            web.post("/v1/tokens", operator.create_token),
            web.post("/v1/keyset/reload", operator.reload_keyset),
            web.get("/v1/status", operator.status),
            web.get("/v1/streams/{stream}", operator.stream),
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

    def __init__(self, master: Master, enrolment: Enrolment, directory: Path) -> None:
        self._master, self._enrolment, self._directory = master, enrolment, directory

    async def create_token(self, request: web.Request) -> web.Response:
        """A join token, shown once."""
        asked = await request.json()
        more = {name: str(asked.get(name, "")) for name in ("recover", "hosts", "network")}
        token = await self._enrolment.create_token(
            float(asked["ttl_s"]), int(asked["uses"]), str(asked["note"]), approve=asked.get("approve") is True, **more
        )
        return web.json_response({"token": token.text(), "token_id": token.token_id.hex(), "ttl_s": asked["ttl_s"]})

    async def reload_keyset(self, _request: web.Request) -> web.Response:
        """A keyset was published: take it into use."""
        return web.json_response({"version": self._master.reload_keys(self._directory)})

    async def status(self, _request: web.Request) -> web.Response:
        """How this master is: its keyset, its agents, what it refused."""
        keys = self._master.keys
        return web.json_response(
            {
                "connected": len(self._master.connected),
                "agents": len(await self._master.book(self._master.rows.agents)),
                "keyset_version": keys.keyset.version,
                "keyset_days_left": round(keys.days_left(now_ms()), 1),
                "refused": self._master.audit.counts(),
            }
        )

    async def stream(self, request: web.Request) -> web.Response:
        """Chunks of a log stream behind `after`; with `wait` until there is one."""
        stream, after = request.match_info["stream"], int(request.query.get("after", "0"))
        wait_s = min(float(request.query.get("wait", "0")), WAIT_MAX_S)

        async def look() -> dict[str, Any] | None:
            return self._master.streams.after(stream, after)

        shown = await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s or 0.001):
                while shown is not None and not shown["chunks"]:
                    async with self._master.changed:
                        await self._master.changed.wait()
                    shown = await look()
        return _found(shown, "no such stream: it begins with engine logs")

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
