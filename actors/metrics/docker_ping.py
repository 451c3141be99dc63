"""Whether the Docker Engine answers: one small request over its socket, beside the room that works with it.

So a hang of that room's calls is seen from outside it, and the answer costs no client library.
"""

import http.client
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

ANSWER_MAX_BYTES = 1_024
INFO_MAX_BYTES = 1 << 20


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
    return _get(docker_host, "/_ping", timeout_s, ANSWER_MAX_BYTES) is not None


def docker_root(docker_host: str, timeout_s: float) -> Path | None:
    """The directory of its images and containers; None when it does not say."""
    body = _get(docker_host, "/info", timeout_s, INFO_MAX_BYTES)
    try:
        return None if body is None else Path(json.loads(body)["DockerRootDir"])
    except (ValueError, KeyError, TypeError):
        return None


def _get(docker_host: str, path: str, timeout_s: float, most: int) -> bytes | None:
    parts = urlsplit(docker_host)
    connection = (
        _UnixConnection(parts.path, timeout_s)
        if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    )
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(most)
    except (OSError, http.client.HTTPException):
        return None
    else:
        return body if response.status == http.client.OK else None
    finally:
        connection.close()
