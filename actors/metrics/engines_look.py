"""One look at every engine's metrics page, and at whether Docker answers: what goes over a socket.

One thread asks one after the other. One that hangs may take its deadline, and the next time it is asked last: so the
others come in time.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from actors.facts import EngineFacts
from config.metrics import MetricsSettings

from . import engine_latency, engine_schema
from .engine_page import EnginePage
from .exposition import PAGE_MAX_BYTES

READ_BYTES = 1 << 16
Fetch = Callable[[str, float], str | None]


@dataclass(slots=True)
class _Kept:
    """What is remembered of one engine."""

    page: EnginePage
    latencies: engine_latency.Latencies = field(default_factory=engine_latency.Latencies)
    before: tuple[float, dict[str, float]] | None = None
    misses: int = 0


class EnginesLook:
    """Keeps what rates and quantiles need; one thread calls it."""

    def __init__(self, settings: MetricsSettings, clock: Callable[[], float], fetch: Fetch | None = None) -> None:
        self._timeout_s, self._clock, self._fetch = settings.page_timeout_s, clock, fetch or fetch_page
        self._fields = engine_schema.fields_with(settings.engine_names)
        self._kept: dict[str, _Kept] = {}

    def look(self, engines: Sequence[EngineFacts]) -> Mapping[str, Mapping[str, Any]]:
        """Engine -> figures; `page_missing` where a ready engine's page did not come."""
        names = {engine.name for engine in engines}
        self._kept = {name: kept for name, kept in self._kept.items() if name in names}
        order = sorted(engines, key=lambda engine: self._misses(engine.name))
        found = {engine.name: self._one(engine) for engine in order}
        return {"engines": {engine.name: found[engine.name] for engine in engines}}

    def _misses(self, name: str) -> int:
        kept = self._kept.get(name)
        return 0 if kept is None else kept.misses

    def _one(self, engine: EngineFacts) -> dict[str, Any]:
        figures: dict[str, Any] = {"state": engine.state, "restarts": engine.restarts}
        if engine.state != "ready" or engine.metrics_url is None:
            self._kept.pop(engine.name, None)
            return figures
        kept = self._kept.get(engine.name)
        if kept is None:
            kept = self._kept[engine.name] = _Kept(EnginePage(self._fields))
        page = self._fetch(engine.metrics_url, self._timeout_s)
        if page is None:
            kept.misses += 1
            return figures | {"page_missing": True}
        kept.misses = 0
        return figures | self._read(kept, page)

    def _read(self, kept: _Kept, text: str) -> dict[str, float]:
        now_s = self._clock()
        page, histograms = kept.page.read(text)
        before, kept.before = kept.before, (now_s, page)
        rates = {} if before is None else engine_schema.rates(before[1], page, now_s - before[0])
        return page | rates | kept.latencies.see(histograms, now_s)


def fetch_page(url: str, timeout_s: float) -> str | None:
    """An engine's metrics page, or None when there is none in time.

    One request of HTTP/1.0 over a plain socket, whose answer ends with the connection: a fourth of what the standard
    client costs, and it is asked for all the time. `timeout_s` is for the whole page, however slowly it comes.
    """
    parts = urlsplit(url)
    end_s = time.monotonic() + timeout_s
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    request = f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout_s) as connection:
            connection.sendall(request.encode("ascii"))
            return _body(_received(connection, end_s))
    except (OSError, ValueError):
        return None


def _received(connection: socket.socket, end_s: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while size < PAGE_MAX_BYTES:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(READ_BYTES)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _body(answer: bytes) -> str | None:
    """Of a good answer; ValueError: it is no HTTP, or not whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    if not first.startswith(b"HTTP/1.") or first.split(None, 2)[1] != b"200":
        return None
    words = rest.lower()
    if b"transfer-encoding: chunked" in words:  # not asked for, and sent by some all the same
        body = _joined(body)
    at = words.find(b"content-length:")
    if at >= 0 and len(body) < int(words[at + 15 :].split(None, 1)[0]):
        raise ValueError("cut short")
    return body.decode(errors="replace")


def _joined(body: bytes) -> bytes:
    found: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(found)
        found.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size
