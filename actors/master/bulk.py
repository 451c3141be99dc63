"""The door of second sockets: the chunks of log streams, under the session of an agent that is connected.

Whoever comes here has a token of that agent, and each frame is signed by the agent's key under the hash of the session
that stands now. There is no handshake, since there is nothing left to agree on; and nothing but chunks is taken.
"""

import contextlib

import structlog
from aiohttp import WSMsgType, web

from protocol.channel import ContentFault
from protocol.errors import Code, ProtocolError
from protocol.limits import FRAME_MAX_BYTES
from protocol.messages.reports import LogLines

from .agent_link import AgentLink
from .endpoint import SUBPROTOCOL, Endpoint
from .service import Master

PATH = "/v1/bulk"


class BulkDoor:
    """At most one socket for each session; a newer one takes its place."""

    def __init__(self, master: Master, endpoint: Endpoint) -> None:
        self._master, self._endpoint = master, endpoint
        self._log = structlog.get_logger().bind(actor="bulk")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One upgrade and its frames."""
        admission = self._endpoint.admission
        try:
            guest = await admission.admit(request, PATH)
        except ProtocolError as error:
            return admission.refusal(error, "bulk", request)
        link = self._endpoint.link(guest.agent.agent_id)
        if link is None:
            return web.json_response({"code": str(Code.SESSION)}, status=409)
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL], compress=False, max_msg_size=FRAME_MAX_BYTES)
        with contextlib.suppress(ConnectionError):
            await socket.prepare(request)
        if not socket.prepared:
            return web.Response(status=400)
        del guest
        await link.take_bulk(socket)
        try:
            await self._read(link, socket)
        except ProtocolError as error:
            self._master.audit.refused("bulk", str(error.code), agent=link.agent_id)
            admission.fault(link.agent_id)
            with contextlib.suppress(Exception):
                await socket.close(code=error.close_code or 4400)
        return socket

    async def _read(self, link: AgentLink, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                raise ProtocolError(Code.FRAME, "only binary frames")
            for found in link.bulk.open(bytes(message.data)):
                if isinstance(found, ContentFault):
                    raise ProtocolError(Code.FRAME, "not a chunk")
                if isinstance(found.message, LogLines):
                    self._master.streams.put(link.agent_id, found.message)
            await self._master.notify()
