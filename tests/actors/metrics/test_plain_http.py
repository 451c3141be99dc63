"""What goes over a socket: pages of engines, and whether Docker answers; many at once, each within its time."""

import socket
import threading
from pathlib import Path

import pytest

from actors.metrics.docker_ping import DockerPing
from actors.metrics.engines_look import ask_pages
from tests.bed.processes import wait_until


class Answers:
    """A server of one answer, in pieces; `slow` keeps its end back for ever, `waits` all of it until the gate opens."""

    def __init__(self, *pieces, slow=False, waits=False, file=None):
        if file is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/metrics?x=1"
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(file))
            self.listener.listen()
            self.url = f"unix://{file}"
        self.asked, self.gate = b"", threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(pieces, slow, waits))
        self.thread.start()

    def _serve(self, pieces, slow, waits):
        connection, _ = self.listener.accept()
        with connection:
            self.asked = connection.recv(4_096)
            if waits:
                self.gate.wait(20)
            for piece in pieces:
                connection.sendall(piece)
            if slow:
                self.gate.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.thread.join()
        self.listener.close()


OK = b"HTTP/1.1 200 OK\r\n"


def pages_of(urls, timeout_s):
    return [None if page is None else page.body().decode() for page in ask_pages(urls, timeout_s)()]


@pytest.mark.parametrize(
    ("pieces", "page"),
    [
        ((OK + b"Content-Length: 5\r\n\r\n", b"a 1\n", b"\n"), "a 1\n\n"),
        ((OK + b"\r\na 1\n",), "a 1\n"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\na ", b"\r\n2;x=y\r\n1\n\r\n0\r\n\r\n"), "a 1\n"),
        ((OK + b"Content-Length: 50\r\n\r\na 1\n",), None),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",), None),
        ((b"HTTP/1.1 503 No\r\n\r\na 1\n",), None),
        ((b"nonsense",), None),
        ((b"HTTP/1.1\r\n\r\n",), None),
        ((OK + b"Content-Length:\r\n\r\na 1\n",), None),
        ((), None),
    ],
)
def test_a_page_is_whole_or_none(pieces, page):
    with Answers(*pieces) as server:
        assert pages_of([server.url], 5.0) == [page]
        assert server.asked.startswith(b"GET /metrics?x=1 HTTP/1.0\r\nHost: 127.0.0.1:")


def test_a_page_that_does_not_end_is_none_after_its_time_and_holds_up_no_other():
    with Answers(OK + b"\r\na 1\n", slow=True) as slow, Answers(OK + b"\r\nb 2\n") as quick:
        assert pages_of([slow.url, quick.url], 0.2) == [None, "b 2\n"]


def test_every_page_is_asked_before_any_is_waited_for():
    with Answers(OK + b"\r\na 1\n", waits=True) as first, Answers(OK + b"\r\nb 2\n") as second:
        pages = ask_pages([first.url, second.url], 20.0)
        wait_until(lambda: second.asked, timeout_s=10, what="the second request, while the first has no answer")
        first.gate.set()
        assert [page.body() for page in pages()] == [b"a 1\n", b"b 2\n"]


def test_a_page_larger_than_a_socket_holds_is_read_whole():
    page = b"x 1\n" * 1_000_000
    with Answers(OK + b"\r\n" + page) as server:
        assert (pages_of([server.url], 20.0) == [page.decode()]) is True


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "http://[broken/metrics", "http://127.0.0.1:x/"])
def test_where_nobody_listens_there_is_no_page(url):
    assert pages_of([url], 5.0) == [None]


def test_a_name_is_looked_up():
    with Answers(OK + b"\r\na 1\n") as server:
        assert pages_of([server.url.replace("127.0.0.1", "localhost")], 5.0) == ["a 1\n"]


@pytest.mark.parametrize(("answer", "up"), [(OK + b"\r\nOK", True), (b"HTTP/1.1 500 No\r\n\r\n", False), (b"", False)])
def test_docker_answers_or_not(answer, up):
    with Answers(answer) as server:
        ping = DockerPing(server.url.replace("http:", "tcp:"), 5.0)
        ping.ask()
        assert ping.answers() is up
        assert server.asked.startswith(b"GET /_ping HTTP/1.0\r\n")


def test_docker_is_asked_over_its_file_and_says_where_it_keeps_its_data(tmp_path):
    with Answers(OK + b'\r\n{"DockerRootDir": "/data"}', file=tmp_path / "docker.sock") as server:
        assert DockerPing(server.url, 5.0).root() == Path("/data")
        assert server.asked.startswith(b"GET /info HTTP/1.0\r\n")


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "tcp://[broken"])
def test_docker_that_is_not_there_is_down(host):
    ping = DockerPing(host, 5.0)
    assert ping.answers() is False
    assert ping.root() is None
