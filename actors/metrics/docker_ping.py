"""Whether the Docker Engine answers: one small request over its socket, beside the room that works with it.

So a hang of that room's calls is seen from outside it, and the answer costs no client library.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from .plain_http import UNIX, Exchange, finish

ANSWER_MAX_BYTES = 1_024
INFO_MAX_BYTES = 1 << 20


class DockerPing:
    """Asks `unix:///PATH` or `tcp://HOST:PORT`; one thread calls it."""

    def __init__(self, docker_host: str, timeout_s: float) -> None:
        self._docker_host, self._timeout_s = docker_host, timeout_s
        self._asked: Exchange | None = None

    def ask(self) -> None:
        """Whether it is well; `answers` has the answer."""
        self._asked = self._get("/_ping", ANSWER_MAX_BYTES)

    def answers(self) -> bool:
        """Wait for it; False for anything else than a good answer."""
        if self._asked is None:
            self.ask()
        asked, self._asked = self._asked, None
        return asked is not None and _body(asked) is not None

    def root(self) -> Path | None:
        """The directory of its images and containers; None when it does not say."""
        asked = self._get("/info", INFO_MAX_BYTES)
        body = None if asked is None else _body(asked)
        try:
            return None if body is None else Path(json.loads(body)["DockerRootDir"])
        except (ValueError, KeyError, TypeError):
            return None

    def _get(self, path: str, most: int) -> Exchange | None:
        try:
            parts = urlsplit(self._docker_host)
            host, port = (parts.path, UNIX) if parts.scheme == "unix" else (parts.hostname or "", parts.port or 0)
        except ValueError:
            return None
        return Exchange(host, port, parts.hostname or "localhost", path, self._timeout_s, most)


def _body(asked: Exchange) -> bytes | None:
    finish((asked,))
    return asked.body()
