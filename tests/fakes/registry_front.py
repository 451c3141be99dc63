"""A front before a real image registry that fails on demand: what stands between a machine and its registry."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSALS = {"401": "UNAUTHORIZED", "429": "TOOMANYREQUESTS", "500": "UNKNOWN"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._forward()

    def do_GET(self):
        self._forward()

    def _forward(self):
        front = self.server.front
        if front.mode in REFUSALS and "/manifests/" in self.path:
            body = {"errors": [{"code": REFUSALS[front.mode], "message": "by the front"}]}
            self._say(int(front.mode), {"Content-Type": "application/json"}, json.dumps(body).encode())
            return
        backend = http.client.HTTPConnection("127.0.0.1", front.behind, timeout=30)
        try:
            wanted = {name: self.headers[name] for name in ("Accept", "Range") if self.headers[name]}
            backend.request(self.command, self.path, headers=wanted)
            answer = backend.getresponse()
            body = answer.read()
        finally:
            backend.close()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in {"connection", "date"}}
        if front.mode == "lie" and "/manifests/" in self.path:
            body = body.replace(b'"size"', b'"Size"')
        if front.mode == "stall" and "/blobs/" in self.path and len(body) > 100_000:
            self._stall(headers, body)
            return
        self._say(answer.status, headers, body)

    def _stall(self, headers, body):
        """Half of it, and then nothing until the front closes."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.front.closing.wait(60)
        self.close_connection = True

    def _say(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class RegistryFront:
    """`mode`: "" forwards; 401, 429, 500 refuse manifests; stall stops a layer half-way; lie changes a manifest."""

    def __init__(self, behind):
        self.behind, self.mode, self.closing = behind, "", threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = False
        self._server.front = self
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
