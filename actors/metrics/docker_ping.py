"""Whether the Docker Engine answers: one small request over its socket, beside the room that works with it.

So a hang of that room's calls is seen from outside it, and the answer costs no client library.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from .plain_http import ask, connected, connected_to_file

ANSWER_MAX_BYTES = 1_024
INFO_MAX_BYTES = 1 << 20


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
    try:
        with (
            connected_to_file(parts.path, timeout_s)
            if parts.scheme == "unix"
            else connected(parts.hostname or "", parts.port or 0, timeout_s)
        ) as connection:
            return ask(connection, parts.hostname or "localhost", path, timeout_s, most)
    except (OSError, ValueError):
        return None
