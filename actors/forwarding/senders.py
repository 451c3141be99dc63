"""The connections to those who take the log. One thread calls a sender; each call has a deadline.

A body that a target will never take (it answers 4xx) is given up; everything else is tried again.
"""

import contextlib
import gzip
import http.client
import socket
import ssl
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from config.log import ForwardSettings

TIMEOUT_S = 10.0
ANSWER_MAX_BYTES = 4_096
RETRY_STATUS = frozenset({408, 425, 429})


class ForwardError(Exception):
    """It was not taken; `again` says whether it may be another time."""

    def __init__(self, why: str, *, again: bool = True) -> None:
        super().__init__(why)
        self.again = again


class Sender(Protocol):
    """One target."""

    def send(self, body: bytes) -> None:
        """ForwardError when it was not taken whole."""

    def close(self) -> None:
        """Close the connection."""


class StreamSender:
    """Syslog over TCP or TLS: the connection is kept, and opened anew after a fault."""

    def __init__(self, settings: ForwardSettings) -> None:
        parts = urlsplit(settings.address)
        tls = parts.scheme == "tls"
        self._host, self._port = parts.hostname or "", parts.port or (6514 if tls else 601)
        self._tls = _context(settings.ca_file) if tls else None
        self._socket: socket.socket | None = None

    def send(self, body: bytes) -> None:
        """See Sender. What a dying connection took with it is lost: syslog has no answers."""
        try:
            if self._socket is not None and _ended(self._socket):
                self.close()
            if self._socket is None:
                self._socket = self._opened()
            self._socket.sendall(body)
        except (OSError, ssl.SSLError) as error:
            self.close()
            raise ForwardError(str(error)) from error

    def _opened(self) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), timeout=TIMEOUT_S)
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """See Sender."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _ended(connection: socket.socket) -> bool:
    """Whether the other side has closed: a write would still succeed, into nothing."""
    connection.settimeout(0.0)
    try:
        if isinstance(connection, ssl.SSLSocket):
            return connection.recv(1) == b""
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(TIMEOUT_S)


class HttpSender:
    """OTLP and Loki: one compressed POST for each batch."""

    def __init__(self, settings: ForwardSettings) -> None:
        parts = urlsplit(settings.address)
        self._host, self._port, self._tls = parts.hostname or "", parts.port, parts.scheme == "https"
        self._path = parts.path or "/"
        self._context = _context(settings.ca_file) if self._tls else None
        self._token_file = settings.token_file

    def send(self, body: bytes) -> None:
        """See Sender."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            if self._token_file is not None:
                headers["Authorization"] = f"Bearer {self._token_file.read_text(encoding='ascii').strip()}"
            connection.request("POST", self._path, gzip.compress(body, 1), headers)
            response = connection.getresponse()
            said = response.read(ANSWER_MAX_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            raise ForwardError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if response.status >= 300:
            again = response.status >= 500 or response.status in RETRY_STATUS
            raise ForwardError(f"HTTP {response.status}: {said[:200]}", again=again)

    def close(self) -> None:
        """See Sender."""


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def sender(settings: ForwardSettings) -> Sender:
    """The sender of a target."""
    return StreamSender(settings) if settings.kind == "syslog" else HttpSender(settings)
