"""One look at an engine over HTTP, with the standard library: its health, its figures, and one token of it."""

import http.client
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from .sockets import connections

BODY_MAX_BYTES = 65_536
PAGE_MAX_BYTES = 4 << 20


class Health(StrEnum):
    """What one look showed."""

    READY = "ready"
    LOADING = "loading"
    """Answers 503: alive and not ready."""
    REFUSED = "refused"
    """Nobody listens yet, or any more."""
    BROKEN = "broken"
    """Answers something else."""
    SILENT = "silent"
    """Accepts and does not answer in time."""


class Prober(Protocol):
    """How an engine is looked at; a simulated one takes its place in tests. Any thread; nothing raises."""

    def look(self, endpoint: str, path: str, timeout_s: float) -> Health:
        """GET the health path once."""

    def page(self, endpoint: str, path: str, timeout_s: float) -> str | None:
        """GET the metrics page; None when it cannot be had."""

    def token(self, endpoint: str, path: str, body: Mapping[str, Any], timeout_s: float) -> Health:
        """POST a request for one token: READY when it came, or when the engine said what is wrong with the request."""

    def connections(self, pid: int) -> int | None:
        """How many are open to what the container of this process listens on; None when that cannot be known."""


class HttpProber:
    """The real one."""

    def look(self, endpoint: str, path: str, timeout_s: float) -> Health:
        """See Prober."""
        status, _ = _exchange(endpoint, "GET", path, None, timeout_s, BODY_MAX_BYTES)
        return status if isinstance(status, Health) else _health(status)

    def page(self, endpoint: str, path: str, timeout_s: float) -> str | None:
        """See Prober."""
        status, body = _exchange(endpoint, "GET", path, None, timeout_s, PAGE_MAX_BYTES)
        return body.decode(errors="replace") if status == http.client.OK else None

    def token(self, endpoint: str, path: str, body: Mapping[str, Any], timeout_s: float) -> Health:
        """See Prober. 429 and 4xx are answers of a working engine: it is busy, or serves no completions."""
        status, _ = _exchange(endpoint, "POST", path, json.dumps(body).encode(), timeout_s, BODY_MAX_BYTES)
        if isinstance(status, Health):
            return status
        refused = http.client.BAD_REQUEST <= status < http.client.INTERNAL_SERVER_ERROR
        not_its_work = status == http.client.NOT_IMPLEMENTED
        return Health.READY if refused or not_its_work else _health(status)

    def connections(self, pid: int) -> int | None:
        """See Prober."""
        return connections(pid)


def _exchange(
    endpoint: str, method: str, path: str, body: bytes | None, timeout_s: float, most_bytes: int
) -> tuple[int | Health, bytes]:
    """Status and body, or what stood in the way."""
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if body else {})
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(most_bytes)
    except TimeoutError:
        return Health.SILENT, b""
    except (OSError, http.client.HTTPException):
        return Health.REFUSED, b""
    finally:
        connection.close()


def _health(status: int) -> Health:
    if status == http.client.OK:
        return Health.READY
    return Health.LOADING if status == http.client.SERVICE_UNAVAILABLE else Health.BROKEN
