"""Signals of one engine: what its actor says, its page, and its container. Pure; time is an argument."""

from collections.abc import Mapping
from typing import Any

from actors.facts import EngineFacts
from actors.metrics.windows import Growth, Recent, Window
from config.metrics import MetricsSettings

TEN_MINUTES_S = 600.0
MINUTE_S = 60.0
OUT_OF_MEMORY = "host_out_of_memory"
"""The cause by which an engine's actor says that Docker saw its main process killed for memory."""


class EngineSignals:
    """One engine between two looks."""

    def __init__(self) -> None:
        self._facts: EngineFacts | None = None
        self._restarts = Recent(TEN_MINUTES_S)
        self._kills = Growth()
        self._killed = 0
        self._preemptions = Window(MINUTE_S)
        self._progress: tuple[float, ...] | None = None
        self._progressed_s: float | None = None
        self._misses: int | None = None
        self._page: Mapping[str, Any] = {}

    def facts_are(self, facts: EngineFacts, now_s: float) -> None:
        """What the engine's actor says."""
        before, self._facts = self._facts, facts
        if before is not None and facts.restarts > before.restarts:
            self._restarts.add(now_s, facts.restarts - before.restarts)
            self._killed += facts.cause == OUT_OF_MEMORY

    def page_is(self, page: Mapping[str, Any], now_s: float) -> None:
        """A new look at its metrics page."""
        if page.get("page_missing"):
            self._misses = (self._misses or 0) + 1
            self._page = {}
        elif page.get("state") == "ready":
            self._misses, self._page = 0, page
            self._see_progress(page, now_s)
        else:
            self._misses, self._page, self._progressed_s = None, {}, None
        if page.get("preemptions_total") is not None:
            self._preemptions.add(now_s, page["preemptions_total"])

    def container_is(self, container: Mapping[str, Any]) -> None:
        """A new look at its container."""
        if container.get("oom_kills") is not None:
            self._kills.see(container["oom_kills"])

    def _see_progress(self, page: Mapping[str, Any], now_s: float) -> None:
        """Reading a long prompt is progress too."""
        tokens = tuple(
            page[name] for name in ("prompt_tokens_total", "generated_tokens_total") if page.get(name) is not None
        )
        if not tokens or not page.get("running") or tokens != self._progress or self._progressed_s is None:
            self._progressed_s = now_s if tokens else None
        self._progress = tokens

    def figures(self, settings: MetricsSettings, now_s: float) -> dict[str, Any]:
        """What is known now; what is new is new only once."""
        facts, page = self._facts, self._page
        assert facts is not None, "facts come before figures"
        growth, covered_s = self._preemptions.growth(), self._preemptions.covers_s
        killed, self._killed = self._killed, 0
        found: dict[str, Any] = {
            "failed": None if facts.state in {"starting", "loading"} else int(facts.state == "backoff"),
            "gave_up": None if facts.state in {"starting", "loading"} else int(facts.state == "gave_up"),
            "restarts_10m": self._restarts.total(now_s),
            "why": facts.why or "no reason is known",
            "oom_kills_new": killed + self._kills.take(),
            "kv_usage": page.get("kv_usage"),
            "waiting": page.get("waiting"),
            "page_misses": self._misses,
        }
        if self._progressed_s is not None and page:
            found["busy_without_progress_s"] = round(now_s - self._progressed_s, 1) if page.get("running") else 0.0
        if growth is not None and covered_s > 0:
            found["preemptions_per_min"] = round(growth * MINUTE_S / covered_s, 3)
        if settings.ttft_p95_target_s and page.get("ttft_p95_s") is not None:
            found["ttft_by_target"] = round(page["ttft_p95_s"] / settings.ttft_p95_target_s, 3)
        return found
