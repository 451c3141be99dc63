"""An origin that never says beforehand how big its file is; how a body ends is chosen by name.

close      no Content-Length, the end is the end of the connection
chunked    chunks, and the last one of no bytes
cut=N      chunked; the first K bodies (`times`) are cut after N bytes, in the middle of a chunk
closecut=N the same without chunks: nothing says that it was cut
endless    chunked, without end
longer     Content-Length says one byte more than comes
shorter    Content-Length says one byte less than the file has
silent=N   chunked; says nothing more after N bytes
ragged=N   the chunks end after N bytes as if that were all
"""

import http.server
import socket
import threading

from tests.fakes.quiet_server import QuietServer

PIECE = 16 << 10


class UnsizedOrigin:
    """Serves `body` until closed; counts what it sent."""

    def __init__(self, body, way="chunked", *, times=1_000_000, rate=0, tls=None):
        self.body, self.rate, self.times = body, rate, times
        self.way, _, value = way.partition("=")
        self.at = int(value or 0)
        self.sent = self.bodies = 0
        self.headers = []
        self.moved, self.stopped = threading.Event(), threading.Event()
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()

            def do_GET(self):
                origin.headers.append(dict(self.headers))
                origin.answer(self)
                self.close_connection = True

            def log_message(self, *_args):
                pass

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}/model.bin"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), name="unsized")
        self.thread.start()

    def answer(self, request):
        asked = "Range" in request.headers
        self.bodies += not asked
        faulty = self.bodies <= self.times
        plain = self.way in {"close", "closecut", "longer", "shorter"}
        request.send_response(200)
        if not plain:
            request.send_header("Transfer-Encoding", "chunked")
        elif not asked and self.way in {"longer", "shorter"} and faulty:
            request.send_header("Content-Length", str(len(self.body) + (1 if self.way == "longer" else -1)))
        request.send_header("Connection", "close")
        request.end_headers()
        if asked:  # a question for one byte, whose answer nobody reads to the end
            return
        data = self.body[: self.at] if faulty and self.at else self.body
        self.pour(request, data, chunked=not plain)
        if self.way == "endless":
            while not self.stopped.is_set():
                self.pour(request, bytes(PIECE), chunked=True)
        if faulty and self.way == "cut":
            request.wfile.write(b"%x\r\nhalf" % PIECE)
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
        elif faulty and self.way == "silent":
            self.stopped.wait(20)
        elif not plain:
            request.wfile.write(b"0\r\n\r\n")

    def pour(self, request, data, *, chunked):
        for at in range(0, len(data), PIECE):
            part = data[at : at + PIECE]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            self.sent += len(part)
            self.moved.set()
            if self.rate and self.stopped.wait(len(part) / self.rate):
                return

    def close(self):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
