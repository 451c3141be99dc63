"""Faults on the way of one file: right bytes or a clear error, never wrong bytes under a final name."""

import hashlib
import http.server
import os
import subprocess
import threading

import pytest

from actors.downloads.errors import DownloadError, SpaceError, WrongBytesError
from actors.downloads.fetch import Cancelled, FileFetch
from actors.downloads.manifest import RemoteFile
from config.downloads import DownloadsSettings

BODY = os.urandom(300_000)
GOOD = hashlib.sha256(BODY).hexdigest()


class Origin:
    """Answers ranges of BODY, with one fault by name."""

    def __init__(self, fault):
        origin = self
        self.fault, self.requests, self.sent, self.headers = fault, 0, 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                origin.requests += 1
                origin.headers.append(dict(self.headers))
                origin.answer(self, origin.requests)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/file"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def answer(self, request, number):
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        data, status = BODY[begin:], 206
        headers = {"Content-Range": f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}", "Content-Length": str(len(data))}
        fault, once = self.fault, number == 1
        if fault in {"500", "503", "429", "403"} and (number <= 2 or fault == "403"):
            headers, data, status = {"Content-Length": "0"}, b"", int(fault)
        elif fault == "cut" and once:
            data = data[:100_000]
        elif fault == "reset" and once:
            request.connection.close()
            return
        elif fault == "stall" and once:
            data = data[:50_000]
        elif (fault == "rot" and once) or fault == "always_rot":
            data = bytes([data[0] ^ 1]) + data[1:] if data else data
        elif fault == "norange":
            data, status = BODY, 200
            headers = {"Content-Length": str(len(BODY))}
        elif fault == "lie206" and once:
            headers["Content-Range"] = f"bytes 5-{len(BODY) - 1}/{len(BODY)}"
        elif fault == "short":
            headers["Content-Range"] = f"bytes {begin}-{len(BODY) - 2}/{len(BODY) - 1}"
        elif fault == "gzip":
            headers["Content-Encoding"] = "gzip"
        elif fault == "html":
            data, status = b"<html>sign in</html>", 200
            headers = {"Content-Type": "text/html", "Content-Length": str(len(data))}
        elif fault == "loop":
            headers, data, status = {"Location": self.url, "Content-Length": "0"}, b"", 302
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        try:
            request.wfile.write(data)
            request.wfile.flush()
            if fault == "stall" and once:
                threading.Event().wait(3)
        except OSError:
            return
        if fault in {"cut", "stall"} and once:
            request.close_connection = True
            request.connection.close()


def fetch(origin, target, *, digest=GOOD, size=None, cancelled=None, progress=lambda _count: None):
    file = RemoteFile("file", len(BODY) if size is None else size, "sha256", digest, (origin.url,))
    configured = DownloadsSettings(
        models_dir=target.parent, allow_private_hosts=("127.0.0.1",), read_timeout_s=1.0, tries=3
    )
    FileFetch(configured, file, target, {"Authorization": "Bearer x"}, progress, cancelled or threading.Event()).fetch()


@pytest.fixture
def origin(request):
    made = Origin(request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    "origin", ["ok", "500", "503", "429", "cut", "reset", "stall", "rot", "norange", "lie206"], indirect=True
)
def test_a_fault_that_passes_ends_in_the_right_bytes(origin, tmp_path):
    fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert not (tmp_path / "file.part").exists()


@pytest.mark.parametrize("origin", ["always_rot", "short", "gzip", "html", "loop", "403"], indirect=True)
def test_a_fault_that_stays_ends_in_an_error_and_nothing_is_published(origin, tmp_path):
    with pytest.raises(DownloadError):
        fetch(origin, tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("origin", ["ok"], indirect=True)
def test_what_is_there_is_not_fetched_again(origin, tmp_path):
    (tmp_path / "file.part").write_bytes(BODY[:200_000])
    fetched = []
    fetch(origin, tmp_path / "file", progress=fetched.append)
    assert sum(fetched) == len(BODY) - 200_000
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("origin", ["ok"], indirect=True)
def test_a_damaged_part_never_becomes_a_file(origin, tmp_path):
    (tmp_path / "file.part").write_bytes(bytes(200_000))
    fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("origin", ["ok"], indirect=True)
def test_a_wrong_promise_is_an_error(origin, tmp_path):
    with pytest.raises(WrongBytesError):
        fetch(origin, tmp_path / "file", digest="0" * 64)


@pytest.mark.parametrize("origin", ["ok"], indirect=True)
def test_a_cancelled_transfer_keeps_what_is_there(origin, tmp_path):
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        fetch(origin, tmp_path / "file", cancelled=cancelled)


def test_a_full_disk_is_an_error_that_says_so(tmp_path):
    origin = Origin("ok")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(SpaceError, match="cannot be written"):
            fetch(origin, small / "file")
        assert not (small / "file").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)
        origin.close()
