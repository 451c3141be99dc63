"""One look at every engine's metrics page: all are asked at once, then what comes within the deadline is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from actors.facts import EngineFacts
from config.metrics import MetricsSettings

from . import engine_latency, engine_schema
from .engine_page import EnginePage
from .exposition import PAGE_MAX_BYTES, Page
from .plain_http import Exchange, finish

Pages = Callable[[], list[Page | None]]
"""Waits for the pages that were asked for; None where there is none in time."""
Ask = Callable[[Sequence[str], float], Pages]


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

    def __init__(self, settings: MetricsSettings, clock: Callable[[], float], ask: Ask | None = None) -> None:
        self._timeout_s, self._clock, self._ask = settings.page_timeout_s, clock, ask or ask_pages
        self._fields = engine_schema.fields_with(settings.engine_names)
        self._kept: dict[str, _Kept] = {}
        self._asked: tuple[Sequence[EngineFacts], dict[str, _Kept], Pages] | None = None
        """The engines, what is known of those that were asked, and their pages."""

    def ask(self, engines: Sequence[EngineFacts]) -> None:
        """Ask every ready engine; `look` reads what comes."""
        known, self._kept = self._kept, {}
        for engine in engines:
            if engine.state == "ready" and engine.metrics_url is not None:
                self._kept[engine.name] = self._known(engine, known.get(engine.name))
        # A name that is looked up may take the whole time, and so may a page: who did not answer is asked last.
        asked = dict(sorted(self._kept.items(), key=lambda one: one[1].misses))
        pages = self._ask([kept.program[2] or "" for kept in asked.values()], self._timeout_s)
        self._asked = (engines, asked, pages)

    def _known(self, engine: EngineFacts, kept: _Kept | None) -> _Kept:
        """Another program, after an update say, may write another page with as many lines: it is learned at once."""
        program = (engine.container_id, engine.pid, engine.metrics_url)
        if kept is not None and kept.program == program:
            return kept
        return _Kept(EnginePage(self._fields), program, misses=0 if kept is None else kept.misses)

    def look(self, engines: Sequence[EngineFacts]) -> Mapping[str, Mapping[str, Any]]:
        """Engine -> figures; `page_missing` where a ready engine's page did not come. Asks first when nobody did."""
        if self._asked is None:
            self.ask(engines)
        assert self._asked is not None, "asked just now"
        (engines, asked, pages), self._asked = self._asked, None
        read = {name: self._page(kept, page) for (name, kept), page in zip(asked.items(), pages(), strict=True)}
        return {
            "engines": {
                engine.name: {"state": engine.state, "restarts": engine.restarts, **read.get(engine.name, {})}
                for engine in engines
            }
        }

    def _page(self, kept: _Kept, page: Page | None) -> dict[str, Any]:
        if page is None:
            kept.misses += 1
            return {"page_missing": True}
        kept.misses = 0
        return self._read(kept, page)

    def _read(self, kept: _Kept, came: Page) -> dict[str, float]:
        now_s = self._clock()
        page, histograms = kept.page.read(came)
        before, kept.before = kept.before, (now_s, page)
        rates = {} if before is None else engine_schema.rates(before[1], page, now_s - before[0])
        return page | rates | kept.latencies.see(histograms, now_s)


def ask_pages(urls: Sequence[str], timeout_s: float) -> Pages:
    """Metrics pages of engines, asked at once and waited for together.

    `timeout_s` is for the whole page, however slowly it comes.
    """
    asked = [_asked(url, timeout_s) for url in urls]

    def pages() -> list[Page | None]:
        finish([one for one in asked if one is not None])
        return [None if one is None else one.page() for one in asked]

    return pages


def _asked(url: str, timeout_s: float) -> Exchange | None:
    try:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        return Exchange(parts.hostname or "", parts.port or 80, parts.netloc, target, timeout_s, PAGE_MAX_BYTES)
    except ValueError:
        return None  # no address at all
