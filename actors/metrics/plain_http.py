"""Requests of HTTP/1.0 over plain sockets, whose answers end with their connections: many at once, in one thread.

A fourth of what the standard client costs, for what is asked all the time. All requests leave before any answer is
waited for, and what comes is left in the sockets for a moment: to be woken for every piece of every answer costs more
than to read it. A connection that is kept would save little more: the servers of most engines close one after five
seconds, about when the next look comes.
"""

import select
import socket
import time
from collections.abc import Sequence

from .exposition import Page

READ_BYTES = 1 << 16
SETTLE_S = 0.02
"""After a request nothing is read for so long: most answers are whole by then."""
UNIX = "unix"


class Exchange:
    """One request and its answer: begun at once, gone on with by `finish`. `error` says why there is none.

    `host` is a name, an address, or the path of a unix socket, whose `port` is UNIX.
    """

    def __init__(self, host: str, port: int | str, name: str, target: str, timeout_s: float, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.began_s = time.monotonic()
        self._end_s = self.began_s + timeout_s
        request = f"GET {target} HTTP/1.0\r\nHost: {name}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
        self._unsent = request.encode("ascii")
        self._chunks: list[bytes] = []
        self._size = 0
        self.connection: socket.socket | None = None
        self.error: Exception | None = None
        try:
            self.connection = _opened(host, port, timeout_s)
            self._send()
        except OSError as error:
            self._over(error)

    @property
    def events(self) -> int:
        """What it waits for, as poll(2) has it."""
        return select.POLLOUT if self._unsent else select.POLLIN

    def left_s(self) -> float:
        """Of its time."""
        return self._end_s - time.monotonic()

    def go_on(self) -> bool:
        """Send and take what goes without waiting; whether it is over."""
        connection = self.connection
        if connection is None:
            return True
        try:
            if self._unsent:
                self._send()
            while not self._unsent and self._size < self._max_bytes:
                chunk = connection.recv(READ_BYTES)
                if not chunk:
                    break
                self._chunks.append(chunk)
                self._size += len(chunk)
            if not self._unsent:
                self._over(None)
        except BlockingIOError:
            if self.left_s() <= 0:
                self._over(TimeoutError("no whole answer in time"))
        except OSError as error:
            self._over(error)
        return self.connection is None

    def _send(self) -> None:
        """As much as the connection takes; one that is not there yet takes nothing."""
        assert self.connection is not None, "it was opened"
        try:
            self._unsent = self._unsent[self.connection.send(self._unsent) :]
        except BlockingIOError:
            return

    def _over(self, error: Exception | None) -> None:
        self.error = error
        self.close()

    def close(self) -> None:
        """Wait no more."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def page(self) -> Page | None:
        """The body of a good answer where it lies, None of another or of none."""
        if self.error is not None or self.connection is not None:
            return None
        try:
            return _page(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        except (ValueError, IndexError) as error:  # it is no HTTP; what is wrong with one answer spoils no other
            self.error = error
            return None

    def body(self) -> bytes | None:
        """The same alone."""
        page = self.page()
        return None if page is None else page.body()


def finish(exchanges: Sequence[Exchange]) -> None:
    """Wait until each is over, or its time is."""
    open_ones = [one for one in exchanges if one.connection is not None]
    if open_ones:
        settled_s = max(one.began_s for one in open_ones) + SETTLE_S - time.monotonic()
        pause_s = min(settled_s, *(one.left_s() for one in open_ones))
        if pause_s > 0:
            time.sleep(pause_s)
    while open_ones := [one for one in open_ones if not one.go_on()]:
        poll = select.poll()
        for one in open_ones:
            poll.register(one.connection, one.events)  # type: ignore[arg-type]  # it is open
        poll.poll(max(0.0, min(one.left_s() for one in open_ones)) * 1e3)


def _opened(host: str, port: int | str, timeout_s: float) -> socket.socket:
    """A connection that never blocks; an address of four numbers needs no resolver, which costs more than the rest."""
    if port == UNIX:
        return _begun(socket.AF_UNIX, host, timeout_s)
    assert isinstance(port, int), "UNIX is the only word for a port"
    if host.replace(".", "").isdigit():
        return _begun(socket.AF_INET, (host, port), None)
    connection = socket.create_connection((host, port), timeout_s)
    connection.setblocking(False)
    return connection


def _begun(family: int, address: tuple[str, int] | str, wait_s: float | None) -> socket.socket:
    """A connection that is on its way; one that goes no way but at once is waited for."""
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if wait_s is not None:
            connection.settimeout(wait_s)
        connection.connect(address)
        connection.setblocking(False)
    except BlockingIOError:
        pass  # what is wrong with it shows when the request is sent
    except BaseException:
        connection.close()
        raise
    return connection


def _page(answer: bytes) -> Page | None:
    """Of a good answer; ValueError or IndexError: it is no HTTP, or not whole."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        raise ValueError("no whole head")
    first, _, rest = answer[:end].partition(b"\r\n")
    if not first.startswith(b"HTTP/1.") or first.split(None, 2)[1] != b"200":
        return None
    words, page = rest.lower(), Page(answer, end + 4)
    if b"transfer-encoding: chunked" in words:  # not asked for, and sent by some all the same
        page = Page.of(_joined(page.body()))
    at = words.find(b"content-length:")
    if at >= 0 and len(page.text) - page.begin < int(words[at + 15 :].split(None, 1)[0]):
        raise ValueError("cut short")
    return page


def _joined(body: bytes) -> bytes:
    found: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(found)
        found.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size
