"""The operator's commands talk to the running master over its unix socket, with the standard library alone."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

SOCKET_FILE = "operator.sock"
TIMEOUT_S = 90.0


class OperatorError(Exception):
    """The master did not answer, or said no; the text says what and what to do."""


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(directory: Path, method: str, path: str, body: object = None) -> Any:
    """The JSON answer of one request."""
    file = directory / SOCKET_FILE
    connection = _Unix(file)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read() or b"null")
    except OSError as error:
        raise OperatorError(
            f"{file}: no master answers ({error}); start it with: mosalama-master serve --dir {directory}"
        ) from error
    except ValueError as error:
        raise OperatorError(f"{file}: the answer is not JSON") from error
    finally:
        connection.close()
    if response.status >= 400:
        detail = answer.get("detail") or answer.get("code") if isinstance(answer, dict) else answer
        field = answer.get("field") if isinstance(answer, dict) else None
        raise OperatorError(f"refused: {detail}{f' ({field})' if field else ''}")
    return answer
