"""Makes the signals of the rules from snapshots and facts: shares, rates, what is new. Pure; time is an argument."""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.facts import EngineFacts, LinkChanged
from actors.metrics.sampler import Snapshot
from config.metrics import MetricsSettings

from .derive_engine import EngineSignals
from .derive_gpu import GpuSignals
from .derive_host import DiskSignals, HostSignals
from .state import Samples

STALE_INTERVALS = 3.0
ROOMS = ("host", "disk", "gpu", "driver", "engine")
"""Scopes that come from the snapshot: of a stale one nothing is known."""


class Signals:
    """Holds the latest of everything and what windows need; one thread calls it."""

    def __init__(self, settings: MetricsSettings, now_s: float) -> None:
        self._settings = settings
        self._engines: tuple[EngineFacts, ...] | None = None
        self._of_engine: dict[str, EngineSignals] = {}
        self._of_disk: dict[str, DiskSignals] = {}
        self._of_gpu: dict[str, GpuSignals] = {}
        self._host = HostSignals()
        self._snapshot: Snapshot | None = None
        self._sampled_s = now_s
        self._skew_s: float | None = None

    # -- what comes in ---------------------------------------------------------------------------------------

    def engines_are(self, engines: Sequence[EngineFacts], now_s: float) -> None:
        """The whole set of engines."""
        self._engines = tuple(engines)
        names = {engine.name for engine in engines}
        self._of_engine = {name: kept for name, kept in self._of_engine.items() if name in names}
        for engine in engines:
            self._of_engine.setdefault(engine.name, EngineSignals()).facts_are(engine, now_s)

    def link_is(self, link: LinkChanged) -> None:
        """Whatever the link knows of the master's clock."""
        if link.clock_skew_ms is not None:
            self._skew_s = abs(link.clock_skew_ms) / 1000

    def snapshot_is(self, snapshot: Snapshot, now_s: float) -> None:
        """A new look of the sampler."""
        self._snapshot, self._sampled_s = snapshot, now_s
        self._host.see(snapshot.host)
        for directory, figures in snapshot.disks.items():
            self._of_disk.setdefault(directory, DiskSignals()).see(figures, now_s)
        for name, signals in self._of_engine.items():
            signals.see(snapshot.engines.get(name, {}), snapshot.containers.get(name, {}), now_s)
        for uuid, figures in snapshot.gpus.items():
            self._of_gpu.setdefault(uuid, GpuSignals()).see(figures, now_s)

    # -- what goes out ---------------------------------------------------------------------------------------

    def samples(self, now_s: float) -> Samples:
        """Every signal now; what is new since the last call is new only once."""
        values: dict[str, Mapping[str, Mapping[str, Any]]] = {
            "engine": {name: signals.figures(self._settings, now_s) for name, signals in self._of_engine.items()},
            "collector": {"snapshot": {"late_intervals": self._late(now_s)}},
        }
        snapshot = self._snapshot
        if snapshot is not None and self._late(now_s) < STALE_INTERVALS:
            values |= {
                "host": {"host": self._host.figures() | self._skew()},
                "disk": {directory: signals.figures() for directory, signals in self._of_disk.items()},
                "agent": {"agent": self._agent(snapshot)},
                "gpu": self._gpus(snapshot, now_s),
                "driver": {name: dict(figures) for name, figures in snapshot.drivers.items()},
            }
        whole = frozenset({"engine"}) if self._engines is not None else frozenset()
        return Samples(values, whole)

    def _late(self, now_s: float) -> float:
        interval_s = min(self._settings.host_interval_s, self._settings.engine_interval_s)
        return round((now_s - self._sampled_s) / interval_s, 2)

    def _skew(self) -> dict[str, Any]:
        return {} if self._skew_s is None else {"clock_skew_s": self._skew_s}

    def _agent(self, snapshot: Snapshot) -> dict[str, Any]:
        resident = snapshot.agent.get("rss_bytes")
        return {} if resident is None else {"memory_by_budget": resident / self._settings.agent_memory_budget_bytes}

    def _gpus(self, snapshot: Snapshot, now_s: float) -> dict[str, dict[str, Any]]:
        holders = {uuid: engine for engine in self._engines or () for uuid in engine.gpus}
        return {
            uuid: self._of_gpu[uuid].figures(figures, holders.get(uuid), snapshot.engines, now_s)
            for uuid, figures in snapshot.gpus.items()
        }
