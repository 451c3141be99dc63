"""One look at every engine's metrics page, and at whether Docker answers: what goes over a socket.

One thread asks one after the other. One that hangs may take its deadline, and the next time it is asked last: so the
others come in time.
"""

import http.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from actors.facts import EngineFacts
from config.metrics import MetricsSettings

from . import engine_latency, engine_schema
from .exposition import PAGE_MAX_BYTES, PageReader, Sample

Fetch = Callable[[str, float], str | None]


@dataclass(slots=True)
class _Kept:
    """What is remembered of one engine."""

    reader: PageReader
    latencies: engine_latency.Latencies = field(default_factory=engine_latency.Latencies)
    before: tuple[float, dict[str, float]] | None = None
    misses: int = 0


class EnginesLook:
    """Keeps what rates and quantiles need; one thread calls it."""

    def __init__(self, settings: MetricsSettings, clock: Callable[[], float], fetch: Fetch | None = None) -> None:
        self._timeout_s, self._clock, self._fetch = settings.page_timeout_s, clock, fetch or fetch_page
        self._fields = engine_schema.fields_with(settings.engine_names)
        self._names = engine_schema.names_of(self._fields) | engine_latency.SERIES
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
        kept = self._kept.setdefault(engine.name, _Kept(PageReader(self._names)))
        page = self._fetch(engine.metrics_url, self._timeout_s)
        if page is None:
            kept.misses += 1
            return figures | {"page_missing": True}
        kept.misses = 0
        return figures | self._read(kept, kept.reader.read(page))

    def _read(self, kept: _Kept, samples: Sequence[Sample]) -> dict[str, float]:
        now_s = self._clock()
        page = engine_schema.read_page(samples, self._fields)
        before, kept.before = kept.before, (now_s, page)
        rates = {} if before is None else engine_schema.rates(before[1], page, now_s - before[0])
        return page | rates | kept.latencies.see(engine_latency.read_buckets(samples), now_s)


def fetch_page(url: str, timeout_s: float) -> str | None:
    """An engine's metrics page, or None when there is none in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        body = response.read(PAGE_MAX_BYTES)
        return body.decode(errors="replace") if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
