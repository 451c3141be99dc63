"""Asks the running daemon over its control socket: HTTP on a unix socket, with the standard library alone."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOCKET_NAME = "control.sock"
TIMEOUT_S = 10.0
ANSWER_MAX_BYTES = 64 << 20
PIECE_BYTES = 65_536


class NoDaemonError(Exception):
    """Nothing answers on the control socket."""


class DaemonRefusedError(Exception):
    """The daemon answered, and said no."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def fetch(run_dir: Path, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON answer of `GET path`; NoDaemonError says what to do when nobody answers."""
    return _ask(run_dir, "GET", path, None, timeout_s)


def put(run_dir: Path, path: str, value: object, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON answer of `PUT path`; as fetch."""
    return _ask(run_dir, "PUT", path, json.dumps(value).encode(), timeout_s)


def send(run_dir: Path, word: str, payload: Any, *, timeout_s: float = TIMEOUT_S) -> str:
    """Have a command carried out by the daemon; its id, once the daemon has it on disk."""
    body = json.dumps({"command": word, "payload": payload}).encode()
    return str(_ask(run_dir, "POST", "/v1/commands", body, timeout_s)["command_id"])


def follow(run_dir: Path, path: str) -> Iterator[bytes]:
    """The pieces of a text as they come, until the daemon ends it; as fetch. Silence has no limit."""
    file = run_dir / SOCKET_NAME
    connection = _UnixConnection(file, TIMEOUT_S)
    try:
        with _told(file):
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise DaemonRefusedError(_why(path, response.status, response.read(ANSWER_MAX_BYTES)))
            connection.sock.settimeout(None)
            while piece := response.read1(PIECE_BYTES):
                yield piece
    finally:
        connection.close()


def _ask(run_dir: Path, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
    file = run_dir / SOCKET_NAME
    connection = _UnixConnection(file, timeout_s)
    try:
        with _told(file):
            connection.request(method, path, body, {"Accept": "application/json", "Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read(ANSWER_MAX_BYTES)
    finally:
        connection.close()
    if response.status not in {http.client.OK, http.client.ACCEPTED}:
        raise DaemonRefusedError(_why(path, response.status, answer))
    return json.loads(answer)


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    """What goes wrong on the way becomes NoDaemonError with what to do."""
    try:
        yield
    except PermissionError as error:
        raise NoDaemonError(f"{file}: permission denied; run this as the daemon's user or as root") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoDaemonError(
            f"{file}: no daemon answers ({error}); is it running? see: systemctl status mosalamaagent"
        ) from error


def _why(path: str, status: int, body: bytes) -> str:
    """What the daemon said, in its own words where it gives some."""
    try:
        said = json.loads(body)
        words = [str(said[name]) for name in ("code", "what", "why") if said.get(name)]
    except (ValueError, AttributeError):
        words = []
    return ": ".join(words) or f"{path}: {status} {body[:500].decode(errors='replace')}"
