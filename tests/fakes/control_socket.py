"""A daemon's control socket with fixed answers: real HTTP on a real unix socket."""

import http.server
import json
import socketserver
import threading
from pathlib import Path


class ControlSocket:
    """Serves `answers` (path -> JSON value) on `run_dir/control.sock` until closed."""

    def __init__(self, run_dir: Path, answers: dict[str, object]) -> None:
        table = answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path in table
                body = json.dumps(table.get(self.path, {"error": f"{self.path} is unknown"})).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *_args):
                pass

        self._server = socketserver.ThreadingUnixStreamServer(str(run_dir / "control.sock"), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="control-socket")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
