"""One answer of Docker that goes on and on, read as lines of JSON. Plain sockets, so that a wait can always be ended.

HTTP/1.0 asks for a body without chunks: what comes after the head are the lines themselves. The docker package reads
such answers with one timeout for everything, and cannot be told to stop while nothing comes.
"""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

HEAD_MAX_BYTES = 65_536
LINE_MAX_BYTES = 1 << 20
PIECE_BYTES = 65_536
TICK_S = 0.5
"""Longest time in one read, unless said otherwise: after it the reader sees an empty line and may end."""
OK = 200


class StreamError(Exception):
    """Docker answered with something else than 200; `status` and its own words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status}: {why}")
        self.status, self.why = status, why


def lines(
    host: str,
    method: str,
    path: str,
    query: Mapping[str, str],
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    tick_s: float = TICK_S,
) -> Iterator[Any]:
    """Each line as JSON, and None whenever nothing came for `tick_s`; ends when Docker ends the answer.

    `host` is unix:///PATH or tcp://ADDRESS:PORT; `timeout_s` bounds the connection and each send, not the answer.

    Raises:
        StreamError: Docker said no.
        OSError: nobody answers, or the connection broke.

    """
    with contextlib.closing(_connected(host, timeout_s)) as sock:
        words = [f"{method} {path}?{urlencode(query)} HTTP/1.0", "Host: docker", "Content-Length: 0"]
        words += [f"{name}: {value}" for name, value in (headers or {}).items()]
        sock.sendall("\r\n".join([*words, "", ""]).encode())
        sock.settimeout(tick_s)
        rest = b""
        while b"\r\n\r\n" not in rest:
            piece = _piece(sock)
            if piece is None:
                yield None
                continue
            if not piece or len(rest) > HEAD_MAX_BYTES:
                raise ConnectionError("Docker ended the answer before its head was complete")
            rest += piece
        head, _, rest = rest.partition(b"\r\n\r\n")
        status = _status(head)
        if status != OK:
            raise StreamError(status, _refusal(sock, rest))
        yield from _json_lines(sock, rest)


def _json_lines(sock: socket.socket, rest: bytes) -> Iterator[Any]:
    while True:
        *whole, rest = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield json.loads(line)
        piece = _piece(sock)
        if piece is None:
            yield None
            continue
        if not piece:
            if rest.strip():
                yield json.loads(rest)
            return
        rest += piece
        if len(rest) > LINE_MAX_BYTES:
            raise ConnectionError("Docker sent a line without an end")


def _piece(sock: socket.socket) -> bytes | None:
    """What came; None when nothing did."""
    try:
        return sock.recv(PIECE_BYTES)
    except TimeoutError:
        return None


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1][:3].isdigit() else 0


def _refusal(sock: socket.socket, rest: bytes) -> str:
    """Docker's own words; it ends the answer after them."""
    for _ in range(20):
        piece = _piece(sock)
        if not piece or len(rest) > HEAD_MAX_BYTES:
            break
        rest += piece
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(rest).get("message", ""))[:500]
    return rest[:500].decode(errors="replace")


def _connected(host: str, timeout_s: float) -> socket.socket:
    if host.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(host.removeprefix("unix://"))
        except OSError:
            sock.close()
            raise
        return sock
    address, _, port = host.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((address, int(port)), timeout=timeout_s)
