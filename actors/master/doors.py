"""The listening socket: strangers get fifteen seconds, and the oldest of them makes room for the next.

aiohttp waits for ever for a request that never ends, and asyncio keeps no count of handshakes; here both have a bound.
A flood of silent sockets pushes out its own: agents prove themselves in milliseconds.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from .audit import Audit

STRANGER_S = 15.0
"""From the first packet to the end of the handshake, which has ten of them itself."""
STRANGERS_MAX = 2_048
BACKLOG = 1_024
ACCEPT_RETRY_S = 0.1


@dataclass(slots=True)
class _Stranger:
    """One connection whose peer has proved nothing yet."""

    known: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    transport: asyncio.Transport | None = None

    @property
    def waits(self) -> bool:
        """Whether it is still there."""
        return self.transport is None or not self.transport.is_closing()


class Doors:
    """`factory` makes the protocol of one connection; `welcome` says that its peer has proved who it is."""

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext,
        audit: Audit,
        *,
        stranger_s: float = STRANGER_S,
        strangers_max: int = STRANGERS_MAX,
    ) -> None:
        self._factory, self._tls, self._audit = factory, tls, audit
        self._stranger_s, self._strangers_max = stranger_s, strangers_max
        self._strangers: OrderedDict[Any, _Stranger] = OrderedDict()

    async def serve(self, listening: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:  # no descriptor is free, or the peer has gone already
                structlog.get_logger().warning("accept", actor="doors", why=str(error))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            self._make_room()
            stranger = self._strangers[address] = _Stranger()
            stranger.task = asyncio.create_task(self._greet(stranger, connection, address))
            stranger.task.add_done_callback(self._forgets(address, stranger))

    def _forgets(self, address: Any, stranger: _Stranger) -> Callable[[object], None]:
        def forget(_done: object) -> None:
            if self._strangers.get(address) is stranger:
                del self._strangers[address]

        return forget

    def _make_room(self) -> None:
        while len(self._strangers) >= self._strangers_max:
            address, oldest = self._strangers.popitem(last=False)
            if oldest.waits:
                self._audit.refused("accept", "E_BUSY", peer=address[0])
            if oldest.task is not None:
                oldest.task.cancel()

    def welcome(self, address: Any) -> None:
        """The peer of this connection is no stranger: it stays."""
        stranger = self._strangers.get(address)
        if stranger is not None:
            stranger.known.set()

    async def _greet(self, stranger: _Stranger, connection: socket.socket, address: Any) -> None:
        """TLS and proof within the time, or the connection is dropped."""
        try:
            async with asyncio.timeout(self._stranger_s):
                transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    self._factory, connection, ssl=self._tls, ssl_handshake_timeout=self._stranger_s
                )
                assert isinstance(transport, asyncio.Transport)
                stranger.transport = transport
                await stranger.known.wait()
        except TimeoutError:
            if stranger.waits:
                self._audit.refused("accept", "E_HS_TIMEOUT", peer=address[0])
            _drop(stranger.transport)
        except asyncio.CancelledError:
            _drop(stranger.transport)
            raise
        except OSError as error:  # a TLS error is one
            self._audit.refused("accept", "E_TLS", peer=address[0], why=type(error).__name__)
            _drop(stranger.transport)

    async def close(self) -> None:
        """Drop every stranger."""
        tasks = [stranger.task for stranger in self._strangers.values() if stranger.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; OSError says why there is none."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _drop(transport: asyncio.Transport | None) -> None:
    """End it now. During TLS it is asyncio's alone, which closes it: closed here as well, its descriptor could be the
    next connection's by the time asyncio lets go of it.
    """
    if transport is not None:
        with contextlib.suppress(OSError, RuntimeError):
            transport.abort()
