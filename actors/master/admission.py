"""Who may come in: the token at the upgrade, the client certificate, and the budget of faults.

The token is an access token, bound to a key of the agent, or the agent's own assertion of this minute. Neither is
enough: the handshake after it proves the key.
"""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from protocol.errors import Code, ProtocolError
from protocol.keys import key_id
from protocol.keyset import Role
from protocol.tokens import TYPE_ACCESS, TYPE_ASSERTION, check_token, token_owner

from .audit import Audit
from .book import AgentRow
from .budget import Budget, neighbourhood
from .service import Master, now_ms

TOKEN_FAULTS_PER_MIN = 100
"""Refused tokens of one neighbourhood; a fleet behind one address must not lock itself out."""
FRAME_FAULTS_PER_MIN = 10
"""Sessions of one agent that ended because of what it sent."""
SAN_PREFIX = "mosalama:agent:"


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody with a token that holds."""

    agent: AgentRow
    kid: bytes | None
    """The key that the token is bound to; None: it was signed by a key of the agent."""
    signed_by: bytes
    """The key of the agent that signed the token, or that it is bound to."""
    certificate_of: str | None
    """The agent that the client certificate names; None: there is no certificate."""


class Admission:
    """The doors of agents, in front of every session and every side door."""

    def __init__(self, master: Master, audit: Audit) -> None:
        self._master, self._audit = master, audit
        self._tokens, self._frames = Budget(TOKEN_FAULTS_PER_MIN), Budget(FRAME_FAULTS_PER_MIN)

    async def admit(self, request: web.Request, path: str) -> Guest:
        """Whose token it is; ProtocolError when it does not hold or its owner may not come in now."""
        near, now_s = neighbourhood(request.remote), time.monotonic()
        if self._tokens.over(near, now_s):
            raise ProtocolError(Code.RATE, "too many refused tokens came from there")
        try:
            guest = await self._check(request, path)
        except ProtocolError:
            self._tokens.spend(near, now_s)
            raise
        if self._frames.over(guest.agent.agent_id, now_s):
            raise ProtocolError(Code.RATE, "too many sessions of this agent ended by a fault")
        if guest.agent.state == "pending":
            raise ProtocolError(Code.PENDING, "an operator has to approve this agent")
        return guest

    def fault(self, agent_id: str) -> None:
        """A session of this agent ended because of what it sent."""
        self._frames.spend(agent_id, time.monotonic())

    def refusal(self, error: ProtocolError, door: str, request: web.Request) -> web.Response:
        """The answer to who is not admitted: a code and nothing that was sent."""
        self._audit.refused(door, str(error.code), peer=request.remote)
        later = {Code.RATE: 429, Code.PENDING: 503, Code.BUSY: 503}
        status = later.get(error.code, 401)
        headers = {"Retry-After": "60"} if status != 401 else {}
        return web.json_response({"code": str(error.code)}, status=status, headers=headers)

    async def _check(self, request: web.Request, path: str) -> Guest:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            raise ProtocolError(Code.TOKEN, "no token")
        kind_of_token, subject = token_owner(token)
        agent = await self._master.book(self._master.rows.agent, subject)
        if agent is None:
            raise ProtocolError(Code.TOKEN, "unknown")
        publics, now = agent.publics(now_ms()), now_ms()
        certificate = certificate_agent(request)
        if kind_of_token == TYPE_ASSERTION:
            public, _ = _any(token, publics, TYPE_ASSERTION, f"{request.host}{path}", now)
            return Guest(agent, None, key_id(public), certificate)
        masters = tuple(self._master.keys.keyset.publics(Role.TOKEN, now).values())
        _, claims = _any(token, masters, TYPE_ACCESS, self._master.audience, now)
        kid = _bound(claims)
        if kid not in {key_id(public) for public in publics}:
            raise ProtocolError(Code.TOKEN, "bound to a key that this agent does not have")
        return Guest(agent, kid, kid, certificate)


def _any(token: str, publics: tuple[bytes, ...], kind: str, audience: str, now: int) -> tuple[bytes, dict[str, Any]]:
    for public in publics:
        with contextlib.suppress(ProtocolError):
            return public, check_token(token, public, kind, audience, now // 1000)
    raise ProtocolError(Code.TOKEN, "does not hold")


def _bound(claims: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(claims["cnf"]["kid"])
    except (KeyError, TypeError, ValueError):
        raise ProtocolError(Code.TOKEN, "a token that is bound to no key") from None


def certificate_agent(request: web.Request) -> str | None:
    """The agent that the verified client certificate names (its URI `mosalama:agent:ID`); None without one."""
    transport = request.transport
    shown = transport.get_extra_info("peercert") if transport is not None else None
    if not shown:
        return None
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
    return next((name.removeprefix(SAN_PREFIX) for name in names if name.startswith(SAN_PREFIX)), "")


def same_agent(guest: Guest, agent_id: str, kid: bytes) -> None:
    """ProtocolError unless token, certificate and hello are of one agent and one key."""
    if guest.agent.agent_id != agent_id:
        raise ProtocolError(Code.TOKEN, "the token is of another agent")
    if guest.kid is not None and guest.kid != kid:
        raise ProtocolError(Code.KEY_ID, "the token is bound to another key")
    if guest.certificate_of not in {None, agent_id}:
        raise ProtocolError(Code.TOKEN, "the client certificate is of another agent")
