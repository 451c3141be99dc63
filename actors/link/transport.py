"""The one home of websockets: a verified TLS connection that carries binary frames. No compression, no proxy.

`close()` of a full connection can hang and `send()` of several tasks can interleave; so one task writes, and a dead
peer is dropped with `abort()`.
"""

import asyncio
import contextlib
import hashlib
import re
import ssl
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from config.link import LinkSettings
from protocol.limits import FRAME_MAX_BYTES

from .errors import DroppedError, NotReachedError, NotTakenError

SUBPROTOCOL = "mosalama.v1"
PATH = "/v1/link"
QUEUE_FRAMES = (16, 4)
WRITE_LIMIT_BYTES = 32_768
CLOSE_S = 2.0
DEREGISTERED = 4403
FORBIDDEN_STATUSES = frozenset({401, 403})


def tls_context(settings: LinkSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the host name verified, our own authority if there is one, a client certificate if any."""
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_certificate_file and settings.client_key_file:
        context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    return context


def audience(master: str) -> str:
    """What a token for the link of this master is made out to."""
    return f"{urlsplit(master).netloc}{PATH}"


class Connection:
    """One open WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @property
    def certificate_sha256(self) -> bytes:
        """Digest of the leaf certificate that the master showed."""
        tls = self._socket.transport.get_extra_info("ssl_object")
        raw = tls.getpeercert(binary_form=True) if tls is not None else None
        return hashlib.sha256(raw).digest() if raw else b""

    async def send(self, frame: bytes) -> None:
        """Send one frame; only one task may call this."""
        try:
            await self._socket.send(frame)
        except ConnectionClosed as error:
            raise dropped(error) from error

    async def receive(self) -> bytes:
        """The next frame."""
        try:
            frame = await self._socket.recv()
        except ConnectionClosed as error:
            raise dropped(error) from error
        if isinstance(frame, str):
            raise DroppedError("the master sent a text frame")
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, but not for long."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._socket.close(code, reason), CLOSE_S)
        self.abort()

    def abort(self) -> None:
        """Drop the connection now."""
        with contextlib.suppress(Exception):
            self._socket.transport.abort()


def dropped(error: ConnectionClosed) -> DroppedError:
    """Why the connection ended, in words; a master that deregistered us is asked only rarely."""
    code = error.rcvd.code if error.rcvd else None
    reason = error.rcvd.reason if error.rcvd else "without a goodbye"
    return DroppedError(f"closed by the master: {code} {reason}".strip(), slow=code == DEREGISTERED)


async def open_connection(master: str, settings: LinkSettings, token: str) -> Connection:
    """Connect, upgrade and check the subprotocol; NotReachedError says what kept it."""
    url = f"wss://{urlsplit(master).netloc}{PATH}"
    try:
        socket = await connect(
            url,
            ssl=tls_context(settings),
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str without a public name
            compression=None,
            proxy=None,
            open_timeout=settings.connect_timeout_s,
            close_timeout=CLOSE_S,
            ping_interval=None,
            max_size=FRAME_MAX_BYTES,
            max_queue=QUEUE_FRAMES,
            write_limit=WRITE_LIMIT_BYTES,
            user_agent_header=None,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        raise NotTakenError(_refused(master, error), slow=status in FORBIDDEN_STATUSES) from error
    except (OSError, WebSocketException, TimeoutError) as error:
        raise NotReachedError(f"{master}: {_words(error)}") from error
    if socket.subprotocol != SUBPROTOCOL:
        socket.transport.abort()
        raise NotReachedError(f"{master} does not speak {SUBPROTOCOL}")
    return Connection(socket)


def _refused(master: str, error: InvalidStatus) -> str:
    """The status and the master's code, if it is one of ours."""
    said = re.search(rb'"code": "(E_[A-Z_]{1,32})"', error.response.body or b"")
    code = f" {said[1].decode()}" if said else ""
    more = ": an operator has to approve this machine (mosalama-master agent approve)" if code == " E_PENDING" else ""
    return f"{master} answered {error.response.status_code}{code}{more}"


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200]
