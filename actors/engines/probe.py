"""One look at an engine over HTTP, with the standard library: refused, busy, ready or something else."""

import http.client
from enum import StrEnum
from urllib.parse import urlsplit

BODY_MAX_BYTES = 65_536


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


def look(endpoint: str, path: str, timeout_s: float) -> Health:
    """GET the health path once."""
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read(BODY_MAX_BYTES)
    except TimeoutError:
        return Health.SILENT
    except (OSError, http.client.HTTPException):
        return Health.REFUSED
    finally:
        connection.close()
    if response.status == http.client.OK:
        return Health.READY
    return Health.LOADING if response.status == http.client.SERVICE_UNAVAILABLE else Health.BROKEN
