"""A container's log over Docker's socket, as it comes: one request of its own, since it may stay open for an hour.

The client library's stream cannot be broken off while nothing comes; this one looks at its flag all the time. Form of
the frames: Docker's API, "Attach to a container": a kind, three zeros, four bytes of length, then so many bytes.
"""

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlencode, urlsplit

READ_BYTES = 32_768
HEAD_MAX_BYTES = 16_384
LOOK_S = 0.25
"""Between two looks at the flag while nothing comes."""
CONNECT_S = 10.0
FRAME_HEAD_BYTES = 8
LINE_MAX_CHARS = 4_000


class FollowError(Exception):
    """The log cannot be read: why."""


def follow(
    docker_host: str, container_id: str, *, lines: int, more: bool, cancelled: Callable[[], bool]
) -> Iterator[bytes]:
    """Pieces of the log, both streams; an empty one whenever nothing came for LOOK_S. Ends with the log.

    Raises:
        FollowError: Docker does not answer, or has no such container.

    """
    query = urlencode({"stdout": 1, "stderr": 1, "tail": lines, "follow": int(more)})
    try:
        with _connected(docker_host) as connection:
            target = f"/v1.41/containers/{container_id}/logs?{query}"
            connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode("ascii"))
            yield from _frames(_body(connection, cancelled))
    except OSError as error:
        raise FollowError(f"Docker: {error}") from error


def _connected(docker_host: str) -> socket.socket:
    parts = urlsplit(docker_host)
    if parts.scheme != "unix":
        return socket.create_connection((parts.hostname or "", parts.port or 2375), CONNECT_S)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_S)
    try:
        connection.connect(parts.path)
    except BaseException:
        connection.close()
        raise
    return connection


def _body(connection: socket.socket, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    """What comes behind a good answer's head."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_MAX_BYTES:
        piece = connection.recv(READ_BYTES)
        if not piece:
            break
        head += piece
    first, _, rest = head.partition(b"\r\n\r\n")
    status = first.split(None, 2)[1:2]
    if status != [b"200"]:
        raise FollowError(
            f"Docker says {b' '.join(status).decode(errors='replace')}: {rest[:200].decode(errors='replace')}"
        )
    connection.settimeout(LOOK_S)
    yield rest
    while not cancelled():
        try:
            piece = connection.recv(READ_BYTES)
        except TimeoutError:
            yield b""
            continue
        if not piece:
            return
        yield piece


def _frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Without the heads of Docker's frames; a container with a terminal has none, and is passed as it is."""
    kept, raw = b"", None
    for piece in pieces:
        if not piece:
            yield b""
            continue
        kept += piece
        if raw is None and len(kept) >= FRAME_HEAD_BYTES:
            raw = not (kept[0] in {0, 1, 2} and kept[1:4] == b"\0\0\0")
        if raw:
            yield kept
            kept = b""
            continue
        while len(kept) >= FRAME_HEAD_BYTES:
            end = FRAME_HEAD_BYTES + int.from_bytes(kept[4:8], "big")
            if len(kept) < end:
                break
            yield kept[FRAME_HEAD_BYTES:end]
            kept = kept[end:]


class Lines:
    """Text lines from pieces: control characters are escaped, a longer line is split, an open one is kept."""

    def __init__(self) -> None:
        self._kept = b""

    def take(self, piece: bytes) -> list[str]:
        """The lines that are whole now."""
        *whole, self._kept = (self._kept + piece).split(b"\n")
        if len(self._kept) > LINE_MAX_CHARS:
            whole.append(self._kept)
            self._kept = b""
        return [part for line in whole for part in _parts(line)]

    def rest(self) -> list[str]:
        """The last line, when it has no end."""
        kept, self._kept = self._kept, b""
        return _parts(kept) if kept else []


def _parts(line: bytes) -> list[str]:
    text = line.rstrip(b"\r").decode(errors="replace")
    shown = "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in text
    )
    return [shown[at : at + LINE_MAX_CHARS] for at in range(0, len(shown), LINE_MAX_CHARS)] or [""]
