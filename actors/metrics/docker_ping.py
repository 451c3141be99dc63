"""Whether the Docker Engine answers: one small request over its socket, beside the room that works with it.

So a hang of that room's calls is seen from outside it, and the answer costs no client library.
"""

import http.client
import socket
from urllib.parse import urlsplit

ANSWER_MAX_BYTES = 1_024


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def docker_answers(docker_host: str, timeout_s: float) -> bool:
    """Ask `unix:///PATH` or `tcp://HOST:PORT` whether it is well; False for anything else than a good answer."""
    parts = urlsplit(docker_host)
    connection = (
        _UnixConnection(parts.path, timeout_s)
        if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    )
    try:
        connection.request("GET", "/_ping")
        response = connection.getresponse()
        response.read(ANSWER_MAX_BYTES)
    except (OSError, http.client.HTTPException):
        return False
    else:
        return response.status == http.client.OK
    finally:
        connection.close()
