"""One HTTP/1.1 connection that reads bodies straight into the memory they are kept in. GET only.

Plain sockets wait in the kernel for a whole slice (MSG_WAITALL) and look up each second; TLS reads record by record.
Every wait is bounded by `silence_s`.
"""

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEAD_MAX_BYTES = 64 << 10
HEADERS_MAX = 200
LOOK_UP_S = 0.1
"""The wait for a whole slice ends after so long, with what there is."""
DRAIN_MAX_BYTES = 64 << 10


class BrokenError(OSError):
    """The connection failed, or the peer speaks no HTTP; the bytes so far are good."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers, names in lower case."""

    status: int
    headers: Mapping[str, str]


class Connection:
    """Over a connected socket; the owner is one thread, only `kill` may be called by others."""

    def __init__(
        self, raw: socket.socket, tls: ssl.SSLContext | None, host: str, silence_s: float, origin: str
    ) -> None:
        self._silence_s, self.origin = silence_s, origin
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(silence_s)
        try:
            self._tls = tls.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False) if tls else None
        except OSError:
            raw.close()
            raise
        self._greeted = self._tls is None
        """Whether the peer has shown who it is: with the first request, when `kill` can end the wait."""
        self._sock = self._tls or raw
        self._early = memoryview(b"")
        self._left: int | None = 0
        self._chunked = False
        self._chunk_left = 0
        self._close_after = False
        self.killed = False

    # -- asking ----------------------------------------------------------------------------------------------

    def ask(self, target: str, headers: Sequence[tuple[str, str]]) -> Answer:
        """Send a GET and read the answer's head; `read_into` gives the body. BrokenError, OSError."""
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        self._sock.settimeout(self._silence_s)
        if self._tls is not None and not self._greeted:
            self._tls.do_handshake()
            self._greeted = True
        self._sock.sendall("\r\n".join(lines).encode("latin-1"))
        answer = self._head()
        while 100 <= answer.status < 200:
            answer = self._head()
        self._frame(answer)
        if self._tls is None:
            self._sock.settimeout(None)
            look_up_s = min(LOOK_UP_S, self._silence_s / 4)
            pair = struct.pack("ll", int(look_up_s), int(look_up_s % 1 * 1e6))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pair)
        return answer

    def _head(self) -> Answer:
        head = bytearray(self._early)
        until = time.monotonic() + self._silence_s
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > HEAD_MAX_BYTES or time.monotonic() > until:
                raise BrokenError("the answer has no end of its headers")
            more = self._sock.recv(16 << 10)
            if not more:
                raise BrokenError("the server closed the connection")
            head += more
        self._early = memoryview(bytes(head[end + 4 :]))
        return parse_head(bytes(head[:end]))

    def _frame(self, answer: Answer) -> None:
        """How long the body is."""
        headers = answer.headers
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._chunk_left = 0
        length = headers.get("content-length")
        if answer.status in {204, 304}:
            self._left = 0
        elif self._chunked or length is None:
            self._left = None
        else:
            self._left = int(length)
        until_close = self._left is None and not self._chunked
        self._close_after = until_close or "close" in headers.get("connection", "").lower()

    # -- the body --------------------------------------------------------------------------------------------

    def read_into(self, view: memoryview) -> int:
        """Bytes put into `view`, at least one; 0 when the body has ended. BrokenError when it ends early."""
        if self._chunked:
            return self._read_chunk(view)
        if self._left is None:
            return self._some(view)
        if not self._left:
            return 0
        count = self._some(view[: self._left])
        if not count:
            raise BrokenError(f"the server closed the connection with {self._left} bytes missing")
        self._left -= count
        return count

    def _some(self, view: memoryview) -> int:
        count = min(len(view), len(self._early))
        if count:  # what came with the head, and in the same reading what follows it
            view[:count] = self._early[:count]
            self._early = self._early[count:]
            return count if self._early or count == len(view) else count + self._more(view[count:])
        return self._received(view)

    def _more(self, view: memoryview) -> int:
        """What follows bytes that are good already: an end or a silence is told by the next reading."""
        try:
            return self._received(view)
        except OSError:
            return 0

    def _received(self, view: memoryview) -> int:
        if self._tls is not None:
            return self._some_tls(self._tls, view)
        until = time.monotonic() + self._silence_s
        while True:
            try:
                return self._sock.recv_into(view, len(view), socket.MSG_WAITALL)
            except BlockingIOError:
                if self.killed or time.monotonic() > until:
                    raise BrokenError("the server is silent") from None

    @staticmethod
    def _some_tls(tls: ssl.SSLSocket, view: memoryview) -> int:
        """A slice, record by record: each read gives 16 KiB at most."""
        got, want, read = 0, len(view), tls.recv_into
        until = time.monotonic() + LOOK_UP_S
        while got < want:
            count = read(view[got:])
            if not count:
                break
            got += count
            if time.monotonic() > until:
                break
        return got

    def _read_chunk(self, view: memoryview) -> int:
        if self._left == 0:
            return 0
        if not self._chunk_left:
            self._chunk_left = self._chunk_size()
            if not self._chunk_left:
                while self._line():  # trailers, up to the empty line
                    pass
                self._left = 0
                return 0
        count = self._some(view[: self._chunk_left])
        if not count:
            raise BrokenError("the server closed the connection within a chunk")
        self._chunk_left -= count
        if not self._chunk_left and self._line():
            raise BrokenError("a chunk has no end")
        return count

    def _chunk_size(self) -> int:
        text = self._line().split(b";", 1)[0].strip()
        try:
            size = int(text, 16)
        except ValueError:
            raise BrokenError("a chunk has no size") from None
        if size < 0 or len(text) > 15:
            raise BrokenError("a chunk has no sane size")
        return size

    def _line(self) -> bytes:
        line = bytearray()
        one = memoryview(bytearray(1))
        while not line.endswith(b"\r\n"):
            if len(line) > 1_024:
                raise BrokenError("a chunk's head is too long")
            if not self._some(one):
                raise BrokenError("the server closed the connection between chunks")
            line += one
        return bytes(line[:-2])

    # -- the end ---------------------------------------------------------------------------------------------

    def reusable(self) -> bool:
        """Whether another request may be sent; a short rest of a body is read away."""
        if self._close_after or self.killed:
            return False
        rest = memoryview(bytearray(4_096))
        for _ in range(DRAIN_MAX_BYTES // len(rest)):
            if self._left == 0:
                return True
            if self._left is not None and self._left > DRAIN_MAX_BYTES:
                return False
            try:
                self.read_into(rest)
            except OSError:
                return False
        return self._left == 0

    def kill(self) -> None:
        """From another thread: whoever waits for bytes gets BrokenError."""
        self.killed = True
        with contextlib.suppress(OSError):
            # The plain way down: SSLSocket.shutdown would drop the state that its reader is using.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """By the owner."""
        self._sock.close()


def parse_head(head: bytes) -> Answer:
    """Of the bytes before the empty line; BrokenError for what is no HTTP, or ambiguous about its length."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit() or len(lines) > HEADERS_MAX:
        raise BrokenError("the server speaks no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenError("a header is malformed")
        name, value = name.lower(), value.strip()
        if name == "content-length" and (not value.isdigit() or headers.get(name, value) != value):
            raise BrokenError("the length of the body is ambiguous")
        headers.setdefault(name, value)
    return Answer(int(rest[:3]), headers)
