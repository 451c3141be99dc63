"""A server with one answer for each path: what sources ask of others."""

import http.server
import json
import threading

from config.downloads import DownloadsSettings


def yes(_uri):
    return True


def settings(tmp_path, **fields):
    given = {"models_dir": tmp_path / "models", "allow_private_hosts": ("127.0.0.1",)}
    return DownloadsSettings(**(given | fields))


class Answers:
    """A server with one answer for each path: status, headers, body."""

    def __init__(self):
        answers = self
        self.known, self.asked = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answers.asked.append((self.command, self.path, dict(self.headers)))
                path = self.path.partition("?")[0]
                status, headers, body = answers.known.get((self.command, path), answers.known.get(path, (404, {}, b"")))
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
                self.close_connection = "Content-Length" in headers and headers["Content-Length"] is None

            do_HEAD = do_GET  # noqa: N815  # the name that the base class calls

            def log_message(self, *_args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def say(self, path, value, status=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.known[path] = (status, headers, body)

    def hub(self, entries, sha="a" * 40):
        self.say("/api/models/org/repo/revision/main", {"sha": sha})
        self.say(f"/api/models/org/repo/tree/{sha}", entries)

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)
