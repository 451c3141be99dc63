"""How the master enrols a machine: the token's scope, the machine's key, and what a second key means."""

import os
import secrets
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

import structlog

from protocol.enrollment import EnrollRequest, make_answer, open_request
from protocol.errors import Code, ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keys import key_id
from protocol.tokens import SECRET_BYTES, TOKEN_ID_BYTES, JoinToken, access_token

from .book import AgentRow, TokenRow
from .service import Master, now_ms

ACCESS_LIFE_S = 86_400


class Enrolment:
    """The one door that a machine without an identity may use, and the tokens that open it."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._log = structlog.get_logger().bind(actor="enrolment")

    async def create_token(
        self,
        ttl_s: float,
        uses: int,
        note: str,
        *,
        recover: str = "",
        approve: bool = False,
        hosts: str = "",
        network: str = "",
    ) -> JoinToken:
        """A join token, or with `recover` one that gives an agent that lost its key a new one; shown once."""
        master = self._master
        if network:
            ip_network(network)  # a ValueError is the operator's
        if recover and await master.book(master.rows.agent, recover) is None:
            raise ProtocolError(Code.KEY_ID, "no such agent; see: mosalama-master agents", "recover")
        token = JoinToken(
            secrets.token_bytes(TOKEN_ID_BYTES), secrets.token_bytes(SECRET_BYTES), master.keys.roots.pin()
        )
        ends = now_ms() + int(ttl_s * 1000)
        row = TokenRow(token.token_id, token.mac_key, ends, uses, note, recover, approve, hosts, network)
        await master.book(master.rows.add_token, row)
        return token

    async def enrol(self, frame: bytes, peer: str | None) -> bytes:
        """The answer to an enrollment request; ProtocolError when it is refused. Repeating it is safe."""
        master, request = self._master, open_request(frame)
        row = await master.book(master.rows.token, request.token_id)
        if row is None or row.expires_ms < now_ms():
            raise ProtocolError(Code.TOKEN, "the token is unknown or over; make a new one")
        request.prove(row.mac_key)
        _check_scope(row, request, peer)
        used = await master.book(master.rows.enrolled_with, request.token_id)
        agent_id = next((agent for public, agent in used if public == request.public), None)
        if agent_id is None:
            agent_id = await self._take(row, request)
        keys = master.keys
        access = self.access(agent_id, key_id(request.public))
        return make_answer(request, row.mac_key, keys.token, agent_id, keys.roots, keys.keyset.document, access)

    async def _take(self, row: TokenRow, request: EnrollRequest) -> str:
        """A key that has not been seen with this token."""
        master = self._master
        if row.agent_id:
            agent_id, fresh = (
                row.agent_id,
                await master.book(master.rows.recover, row.agent_id, request.public, request.token_id),
            )
        else:
            agent_id = uuid7(now_ms(), os.urandom(RANDOM_BYTES)).hex()
            state = "pending" if row.approve else "active"
            facts = dict(request.inventory.values)
            agent = AgentRow(agent_id, request.public, None, now_ms(), state, 0, now_ms(), facts)
            fresh = await master.book(master.rows.enrol, agent, request.token_id)
        if not fresh:
            await master.alarm(
                row.agent_id, "master.token_used_again", f"token {request.token_id.hex()} came with another key"
            )
            raise ProtocolError(Code.TOKEN_USED, "the token was used by another machine")
        self._log.info("enrolled", agent=agent_id, recovered=bool(row.agent_id))
        if row.agent_id:
            master.instances.forget(agent_id)
            await master.alarm(agent_id, "master.agent_recovered", "a recovery token gave it a new key", "warning")
        await master.notify()
        return agent_id

    def access(self, agent_id: str, kid: bytes) -> str:
        """A day's token for the upgrade and the side doors, bound to a key of the agent."""
        now_s = now_ms() // 1000
        return access_token(self._master.keys.token, agent_id, kid, self._master.audience, now_s, ACCESS_LIFE_S)


def _check_scope(row: TokenRow, request: EnrollRequest, peer: str | None) -> None:
    host = str(request.inventory.values.get("host.name") or "")
    if row.hosts and not fnmatchcase(host, row.hosts):
        raise ProtocolError(Code.TOKEN, "the token is not for a host of this name", "host.name")
    if row.network and (peer is None or ip_address(peer) not in ip_network(row.network)):
        raise ProtocolError(Code.TOKEN, "the token is not for this network")
