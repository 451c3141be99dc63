"""One look at every engine's metrics page, and at whether Docker answers: what goes over a socket.

One thread asks one after the other. One that hangs may take its deadline, and the next time it is asked last: so the
others come in time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from actors.facts import EngineFacts
from config.metrics import MetricsSettings

from . import engine_latency, engine_schema
from .engine_page import EnginePage
from .exposition import PAGE_MAX_BYTES
from .plain_http import ask, connected

Fetch = Callable[[str, float], str | None]


@dataclass(slots=True)
class _Kept:
    """What is remembered of one engine."""

    page: EnginePage
    program: tuple[str | None, int | None, str | None]
    """Container, process and address: who wrote the page that is known."""
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
        kept, program = self._kept.get(engine.name), (engine.container_id, engine.pid, engine.metrics_url)
        if kept is None or kept.program != program:
            # Another program, after an update say, may write another page with as many lines: it is learned at once.
            misses = 0 if kept is None else kept.misses
            kept = self._kept[engine.name] = _Kept(EnginePage(self._fields), program, misses=misses)
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

    `timeout_s` is for the whole page, however slowly it comes.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        with connected(parts.hostname or "", parts.port or 80, timeout_s) as connection:
            body = ask(connection, parts.netloc, target, timeout_s, PAGE_MAX_BYTES)
    except (OSError, ValueError):
        return None
    return None if body is None else body.decode(errors="replace")
