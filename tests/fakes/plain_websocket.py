"""One WebSocket in one thread, over TLS, on the library's protocol without its threads.

Its own blocking classes read in a thread while another writes; on one TLS object of OpenSSL that loses frames.
"""

import contextlib
import socket
import ssl
import time
from collections import deque

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

READ_BYTES = 65_536
CLOSE_S = 2.0


class PlainWebSocket:
    """`send`, `recv` and `close`; ConnectionClosed tells with which code the other side closed."""

    def __init__(self, raw, protocol):
        self.socket, self.protocol = raw, protocol
        self._frames = deque()
        self._answer = None
        self._over = False

    def send(self, data):
        if isinstance(data, str):
            self.protocol.send_text(data.encode())
        else:
            self.protocol.send_binary(data)
        self._flush()

    def recv(self, timeout):
        end = time.monotonic() + timeout
        while not self._frames:
            if self._over:
                raise self.protocol.close_exc
            self._read(end - time.monotonic())
        return self._frames.popleft()

    def answer(self, timeout):
        """The other side's half of the upgrade."""
        end = time.monotonic() + timeout
        while self._answer is None:
            if self._over:
                raise self.protocol.handshake_exc or ConnectionResetError("closed before the upgrade")
            self._read(end - time.monotonic())
        return self._answer

    def _read(self, left):
        if left <= 0:
            raise TimeoutError("nothing came in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(READ_BYTES)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
            self._over = True
        for event in self.protocol.events_received():
            if isinstance(event, (Request, Response)):
                self._answer = event
            elif isinstance(event, Frame) and event.opcode in {Opcode.BINARY, Opcode.TEXT}:
                self._frames.append(bytes(event.data) if event.opcode is Opcode.BINARY else bytes(event.data).decode())
        self._flush()

    def _flush(self):
        for data in self.protocol.data_to_send():
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                if data:
                    self.socket.settimeout(30.0)
                    self.socket.sendall(data)

    flush = _flush

    def close(self, code=1000):
        with contextlib.suppress(Exception):
            self.protocol.send_close(code)
            self._flush()
            end = time.monotonic() + CLOSE_S
            while not self._over:
                self._read(end - time.monotonic())
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(url, context, headers, timeout, *, max_size=1 << 20):
    """An upgraded socket; InvalidStatus when the server does not want us."""
    uri = parse_uri(url)
    plain = socket.create_connection((uri.host, uri.port), timeout=timeout)
    raw = None
    try:
        raw = context.wrap_socket(plain, server_hostname=uri.host)
        protocol = ClientProtocol(uri, subprotocols=["mosalama.v1"], max_size=max_size)
        request = protocol.connect()
        request.headers.update(headers)
        protocol.send_request(request)
        made = PlainWebSocket(raw, protocol)
        made.flush()
        made.answer(timeout)
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
    except BaseException:
        (raw or plain).close()
        raise
    return made


def accept(plain, context, timeout, path="/v1/link"):
    """The server's side of an upgrade; None for another door than this."""
    plain.settimeout(timeout)
    raw = plain
    try:
        raw = context.wrap_socket(plain, server_side=True)
        protocol = ServerProtocol(subprotocols=["mosalama.v1"], max_size=1 << 20)
        made = PlainWebSocket(raw, protocol)
        request = made.answer(timeout)
        wanted = request.path == path
        protocol.send_response(protocol.accept(request) if wanted else protocol.reject(404, "no such door"))
        made.flush()
    except BaseException:
        raw.close()
        raise
    if not wanted:
        raw.close()
        return None
    return made
