"""The one home of websockets: a verified TLS connection that carries binary frames. No compression, no proxy.

The library's own protocol object (its sans-I/O layer) sits right on an asyncio transport. Its ready-made connection
puts a queue and two wake-ups between a frame's bytes and whoever reads it; here the reader is called in that moment,
which takes a third off a bare round trip. What is ours is what a link needs anyway: a bound on what waits in the
buffers, so that a heartbeat passes a flood, and `abort()` for a peer that is dead or does not let itself be closed.
"""

import asyncio
import contextlib
import hashlib
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from config.link import LinkSettings
from protocol.limits import FRAME_MAX_BYTES

from .errors import DroppedError, NotReachedError, NotTakenError

SUBPROTOCOL = "mosalama.v1"
PATH = "/v1/link"
BULK_PATH = "/v1/bulk"
WAITING_FRAMES_MAX = 16
"""Frames that may wait before anybody reads; beyond it nothing more is taken from the socket."""
FRAGMENTS_MAX = 64
WRITE_LIMIT_BYTES = 32_768
PIECE_BYTES = 4_096
"""What is written while frames are given out goes in pieces of this size: the master works on the first of them while
we are still at the rest. All in one piece at the end, and the two sides would take turns."""
UNSENT_LIMIT_BYTES = 65_536
"""What the kernel holds that is not on its way yet: a frame of higher priority waits behind this at most."""
TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
CLOSE_S = 2.0
DEREGISTERED = 4403
TOO_BIG = 1009
FORBIDDEN_STATUSES = frozenset({401, 403})


def tls_context(settings: LinkSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the host name verified, our own authority if there is one, a client certificate if any."""
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate_file and settings.client_key_file:
        context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    return context


def audience(master: str, path: str = PATH) -> str:
    """What a token for this door of this master is made out to."""
    return f"{urlsplit(master).netloc}{path}"


class Connection(asyncio.Protocol):
    """One WebSocket of ours. `write` from the loop's thread only."""

    _transport: asyncio.Transport

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        self._socket = ClientProtocol(
            parse_uri(url),
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str without a public name
            max_size=FRAME_MAX_BYTES,
        )
        self._headers = headers
        self._opened: asyncio.Future[None] = loop.create_future()
        self._end: asyncio.Future[Exception] = loop.create_future()
        self._lost = asyncio.Event()
        self._lost.set()  # there is nothing to lose yet
        self._room = asyncio.Event()
        self._room.set()
        self._take: Callable[[bytes], None] | None = None
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._fragments: list[bytes] = []
        self._receiving = False
        """While frames are given out, what is written in answer waits for company."""
        self._held_bytes = 0

    # -- for the link ----------------------------------------------------------------------------------------

    async def opened(self) -> None:
        """Until the upgrade is done; raises what the library says of an answer that is none."""
        await self._opened

    @property
    def subprotocol(self) -> str | None:
        """What both sides speak."""
        return self._socket.subprotocol

    @property
    def certificate_sha256(self) -> bytes:
        """Digest of the leaf certificate that the master showed."""
        tls = self._transport.get_extra_info("ssl_object")
        raw = tls.getpeercert(binary_form=True) if tls is not None else None
        return hashlib.sha256(raw).digest() if raw else b""

    def deliver(self, take: Callable[[bytes], None]) -> None:
        """Give every frame to `take` from now on; what it raises ends the connection (see `ended`)."""
        self._take = take
        waiting, self._waiting = self._waiting, deque()
        for frame in waiting:
            self._give(frame)
        self._transport.resume_reading()

    async def receive(self) -> bytes:
        """The next frame, as long as nobody has asked for them by `deliver`."""
        while not self._waiting:
            if self._end.done():
                raise self._end.result()
            self._arrived.clear()
            await self._arrived.wait()
        self._transport.resume_reading()
        return self._waiting.popleft()

    async def ended(self) -> None:
        """Until the connection has ended; raises why."""
        raise await asyncio.shield(self._end)

    def write(self, frame: bytes) -> None:
        """Send one frame; wait for `room` before the next."""
        if self._end.done():
            raise self._end.result()
        if self._socket.state is State.OPEN:  # else the master has said goodbye, and `ended` will tell why
            self._socket.send_binary(frame)
            self._held_bytes += len(frame)
            if not self._receiving or self._held_bytes >= PIECE_BYTES:
                self._flush()

    async def room(self) -> None:
        """Until the buffers have room again."""
        if not self._room.is_set():
            await self._room.wait()
        if self._end.done():
            raise self._end.result()

    async def send(self, frame: bytes) -> None:
        """Send one frame and wait until there is room for the next."""
        self.write(frame)
        await self.room()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, but not for long."""
        with contextlib.suppress(Exception):
            self._socket.send_close(code, reason)
            self._flush()
            await asyncio.wait_for(asyncio.shield(self._end), CLOSE_S)
        self.abort()

    def abort(self) -> None:
        """Drop the connection now."""
        with contextlib.suppress(Exception):
            self._transport.abort()

    async def gone(self) -> None:
        """Drop it, and wait until its socket is closed."""
        self.abort()
        # Not `_end`: that is told as soon as it is known why, and the socket is closed some turns of the loop later.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), CLOSE_S)

    # -- for the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP and TLS stand: ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._lost.clear()
        transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES)
        _limit_unsent(transport)
        request = self._socket.connect()
        request.headers.update(self._headers)
        self._socket.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes of the master, to frames, to whoever reads."""
        self._socket.receive_data(data)
        self._receiving = True
        for event in self._socket.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            else:
                self._answered()
        self._receiving = False
        self._flush()
        if self._socket.close_expected():
            asyncio.get_running_loop().call_later(CLOSE_S, self.abort)

    def eof_received(self) -> None:
        """The master sends nothing more."""
        self._socket.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, by whichever side."""
        with contextlib.suppress(Exception):
            self._socket.receive_eof()
        if not self._opened.done():
            self._opened.set_exception(self._socket.handshake_exc or exc or ConnectionResetError("closed at once"))
            self._opened.exception()  # whoever waited may have gone
        self._over(dropped(self._socket.close_exc))
        self._lost.set()

    def pause_writing(self) -> None:
        """The buffers are full."""
        self._room.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._room.set()

    # -- inside ----------------------------------------------------------------------------------------------

    def _answered(self) -> None:
        if self._opened.done():
            return
        if self._socket.handshake_exc is not None:
            self._opened.set_exception(self._socket.handshake_exc)
        else:
            self._opened.set_result(None)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self._over(DroppedError("the master sent a text frame"))
        elif frame.opcode in {Opcode.BINARY, Opcode.CONT}:
            if frame.fin and not self._fragments:
                self._give(bytes(frame.data))
            else:
                self._assemble(frame)

    def _assemble(self, frame: Frame) -> None:
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > FRAGMENTS_MAX:
            self._socket.fail(TOO_BIG, "too many fragments")
        elif frame.fin:
            whole, self._fragments = b"".join(self._fragments), []
            self._give(whole)

    def _give(self, frame: bytes) -> None:
        if self._end.done():
            return
        if self._take is None:
            self._waiting.append(frame)
            self._arrived.set()
            if len(self._waiting) >= WAITING_FRAMES_MAX:
                self._transport.pause_reading()
            return
        try:
            self._take(frame)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits for the end, not to the event loop
            self._over(error)

    def _over(self, why: Exception) -> None:
        if not self._end.done():
            self._end.set_result(why)
        self._arrived.set()
        self._room.set()

    def _flush(self) -> None:
        self._held_bytes = 0
        pieces = self._socket.data_to_send()
        if not pieces:
            return
        self._transport.write(b"".join(pieces))
        if not pieces[-1]:  # the library's word for the end of the stream
            self._end_stream()

    def _end_stream(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()


def _limit_unsent(transport: asyncio.Transport) -> None:
    """Less in the kernel's queue, where a system knows the option (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_LIMIT_BYTES)


def dropped(error: ConnectionClosed) -> DroppedError:
    """Why the connection ended, in words; a master that deregistered us is asked only rarely."""
    code = error.rcvd.code if error.rcvd else None
    reason = error.rcvd.reason if error.rcvd else "without a goodbye"
    return DroppedError(f"closed by the master: {code} {reason}".strip(), slow=code == DEREGISTERED)


async def open_connection(master: str, settings: LinkSettings, token: str, path: str = PATH) -> Connection:
    """Connect, upgrade and check the subprotocol; NotReachedError says what kept it."""
    url = f"wss://{urlsplit(master).netloc}{path}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        connection = await open_socket(url, tls_context(settings), headers, settings.connect_timeout_s)
    except InvalidStatus as error:
        status = error.response.status_code
        raise NotTakenError(_refused(master, error), slow=status in FORBIDDEN_STATUSES) from error
    except Exception as error:  # what a network, TLS and a stranger's HTTP can raise has no common root
        raise NotReachedError(f"{master}: {_words(error)}") from error
    return connection


async def open_socket(url: str, tls: ssl.SSLContext | None, headers: Mapping[str, str], timeout_s: float) -> Connection:
    """One upgraded WebSocket that speaks our subprotocol; raises whatever kept it."""
    where = urlsplit(url)
    host = where.hostname or ""
    port = where.port or (443 if tls else 80)
    connection = Connection(url, headers)
    done = False
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, host, port, ssl=tls, happy_eyeballs_delay=0.25
            )
            await connection.opened()
        if connection.subprotocol != SUBPROTOCOL:
            raise NotReachedError(f"it does not speak {SUBPROTOCOL}")
        done = True
    finally:
        if not done:
            await connection.gone()
    return connection


def _refused(master: str, error: InvalidStatus) -> str:
    """The status and the master's code, if it is one of ours."""
    said = re.search(rb'"code": "(E_[A-Z_]{1,32})"', error.response.body or b"")
    code = f" {said[1].decode()}" if said else ""
    more = ": an operator has to approve this machine (mosalama-master agent approve)" if code == " E_PENDING" else ""
    return f"{master} answered {error.response.status_code}{code}{more}"


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200]
