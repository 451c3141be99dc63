"""An origin of one file on loopback that answers ranges, with faults by name; it counts what it sent.

`/file` is the address that stays good; with `signed` it redirects to `/signed/N`, which may expire. Faults:

    norange  no ranges            cut=N, cut1=N      every (the first) body ends after N bytes
    short    another size         reset=N            every body ends with a reset after N bytes
    lie206   bytes from the start, whatever range    stall=N, stall1=N  every (the first) body goes silent after N bytes
    wrong206 another range        drip1=N            the first body comes with N bytes a second
    gzip     compressed           e500=K e503=K e429=K   the first K requests are answered so
    html     a login page         deny=K             a signed address expires after K requests
    chunked  no Content-Length    cutdeny=N          it expires after N bytes, in mid-body
    loop     redirects in circles flip=K, flipsilent=K   after K requests another version, with(out) another ETag
    gone     416                  cutflip=N          the body is cut after N bytes in all, then another version
    hush=N   once N bytes were sent in all, nothing more comes
    late=N   every answer begins N ms after it was asked for
    rot=N, rot1=N  the byte at N is wrong, always (the first time it is sent)
"""

import http.server
import socket
import struct
import threading
import time

from tests.fakes.quiet_server import QuietServer

PIECE = 16 << 10


class Origin:
    """Serves `body` until closed."""

    def __init__(self, body: bytes, fault: str = "ok", *, etag: str = '"v1"', signed: bool = False, rate: int = 0):
        name, _, value = fault.partition("=")
        self.body, self.fault, self.value, self.etag, self.signed = body, name, int(value or 0), etag, signed
        self.rate = rate
        self.requests = self.bodies = self.sent = self.signature = self.signed_requests = 0
        self.headers: list[dict[str, str]] = []
        self.rotten = self.was_cut = False
        self.lock = threading.Lock()
        self.stopped, self.moved = threading.Event(), threading.Event()
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                origin.answer(self)

            def log_message(self, *_args):
                pass

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url = f"{self.base}/file"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), name="origin")
        self.thread.start()

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    # -- one request -----------------------------------------------------------------------------------------

    def answer(self, request):
        with self.lock:
            self.requests += 1
            number = self.requests
            self.headers.append(dict(request.headers))
        if self.fault == "late":
            self.stopped.wait(self.value / 1_000)
        if self.fault in {"e500", "e503", "e429"} and number <= self.value:
            return self.say(request, int(self.fault[1:]))
        if self.fault == "loop":
            return self.say(request, 302, Location=self.url)
        if self.signed and request.path == "/file":
            return self.say(request, 302, Location=f"{self.base}/signed/{self.signature}")
        if self.signed and request.path.startswith("/signed/") and self.expired(request.path):
            return self.say(request, 403)
        if self.fault == "html":
            return self.send(request, 200, b"<html>sign in</html>", {"Content-Type": "text/html"})
        if self.fault == "gone" and "Range" in request.headers:
            return self.say(request, 416, **{"Content-Range": "bytes */10"})
        return self.file(request, number)

    def expired(self, path):
        with self.lock:
            if path == f"/signed/{self.signature}":  # those that came too late use up nothing of the next one
                self.signed_requests += 1
            spent = (self.fault == "deny" and self.signed_requests > self.value) or (
                self.fault == "cutdeny" and self.sent >= self.value > 0
            )
            if spent and path == f"/signed/{self.signature}":
                self.signature += 1
                self.signed_requests, self.value = 0, self.value if self.fault == "deny" else 0
            return path != f"/signed/{self.signature}"

    def file(self, request, number):
        body, etag = self.body, self.etag
        flipped = (self.fault in {"flip", "flipsilent"} and number > self.value) or (
            self.fault == "cutflip" and self.was_cut
        )
        if flipped:
            body = bytes(len(body) - 1) + b"x"
            etag = etag if self.fault == "flipsilent" else '"v2"'
        if self.fault == "short":
            body = body[:-1]
        begin, end, status = 0, len(body), 200
        headers = {"ETag": etag} if etag else {}
        if self.fault == "gzip":
            headers["Content-Encoding"] = "gzip"
        wanted = request.headers.get("Range")
        if wanted and self.fault != "norange":
            first, last = wanted.removeprefix("bytes=").split("-")
            begin, end, status = int(first), min(int(last) + 1, len(body)), 206
            shift = 5 if self.fault == "wrong206" else 0
            headers["Content-Range"] = f"bytes {begin + shift}-{end + shift - 1}/{len(body)}"
        data = body[begin:end]
        if self.fault == "lie206" and status == 206:
            data = body[: end - begin]
        return self.send(request, status, self.spoil(data, begin), headers)

    def spoil(self, data, begin):
        at = self.value - begin
        if self.fault in {"rot", "rot1"} and 0 <= at < len(data) and not (self.fault == "rot1" and self.rotten):
            self.rotten = True
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data

    # -- bytes -----------------------------------------------------------------------------------------------

    def say(self, request, status, **headers):
        request.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            request.send_header(name, value)
        request.end_headers()

    def send(self, request, status, data, headers):
        with self.lock:
            self.bodies += 1
            first = self.bodies == 1
        chunked = self.fault == "chunked"
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        name, value = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(data)))
        request.send_header(name, value)
        request.end_headers()
        limit = len(data)
        if self.fault in {"cut", "reset", "stall"} or (self.fault in {"cut1", "stall1"} and first):
            limit = min(limit, self.value)
        drip = self.value if self.fault == "drip1" and first else 0
        self.pour(request, data[:limit], chunked=chunked, rate=drip or self.rate)
        if limit < len(data):
            self.break_off(request)

    def pour(self, request, data, *, chunked, rate):
        piece = max(1, min(PIECE, rate // 20)) if rate else PIECE
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            if self.fault in {"cutdeny", "cutflip"} and not self.was_cut and self.sent >= self.value > 0:
                self.was_cut = self.fault == "cutflip"
                self.break_off(request)
                return
            if self.fault == "hush" and self.sent >= self.value:  # its head, and no more
                self.stopped.wait(20)
                return
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            with self.lock:
                self.sent += len(part)
            self.moved.set()
            if rate and self.stopped.wait(len(part) / rate):
                return
        if chunked:
            request.wfile.write(b"0\r\n\r\n")

    def break_off(self, request):
        request.wfile.flush()
        request.close_connection = True
        if self.fault in {"stall", "stall1"}:
            self.stopped.wait(20)
        if self.fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.01)  # so that what was sent is read before the reset throws it away
        request.connection.close()
