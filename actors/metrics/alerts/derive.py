"""Makes the signals of the rules from snapshots and facts: shares, rates, what is new. Pure; time is an argument."""

from collections.abc import Callable, Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from actors.facts import EngineFacts, LinkChanged
from actors.metrics.snapshot import Snapshot
from config.metrics import MetricsSettings

from .derive_engine import EngineSignals
from .derive_gpu import GpuSignals
from .derive_host import DiskSignals, HostSignals
from .state import Samples

T = TypeVar("T")
STALE_INTERVALS = 3.0
STALE_MIN_S = 10.0
"""However often it looks, a collector is not late before: a machine that stands still for a moment is no fault."""
COLLECTOR_OF: Mapping[str, tuple[str, ...]] = {
    "host": ("host",),
    "disks": ("disk",),
    "gpu": ("gpu",),
    "containers": ("agent",),
}
"""Collector -> the scopes of which nothing is known while it is late."""
NOTHING: Mapping[str, Any] = {}
IN_TIME: Mapping[str, Any] = {"late_intervals": 0.0}
SAMPLER = "sampler"
"""Stands for all collectors: silent together, they are one fault."""


class Signals:
    """Holds the latest of everything and what windows need; one thread calls it."""

    def __init__(self, settings: MetricsSettings, now_s: float) -> None:
        self._settings = settings
        self._engines: tuple[EngineFacts, ...] | None = None
        self._of_engine: dict[str, EngineSignals] = {}
        self._of_disk: dict[str, DiskSignals] = {}
        self._of_gpu: dict[str, GpuSignals] = {}
        self._host = HostSignals()
        self._snapshot = Snapshot(0.0)
        self._sampled_s = now_s
        self._seen: dict[str, tuple[float, float]] = {}
        """Collector -> when its last good look came, or its first of any kind, and its interval."""
        self._skew_s: float | None = None
        self._told: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        """Scope -> what `samples` said last."""
        self._holders: dict[str, EngineFacts] = {}
        """UUID of a GPU -> the engine on it."""
        self._makers: tuple[tuple[str, Callable[[float], Mapping[str, Mapping[str, Any]]]], ...] = (
            ("host", self._hosts),
            ("disk", self._disks),
            ("agent", self._agent),
            ("gpu", self._gpus),
            ("driver", self._drivers),
        )

    # -- what comes in ---------------------------------------------------------------------------------------

    def engines_are(self, engines: Sequence[EngineFacts], now_s: float) -> None:
        """The whole set of engines."""
        self._engines = tuple(engines)
        self._holders = {uuid: engine for engine in engines for uuid in engine.gpus}
        names = {engine.name for engine in engines}
        self._of_engine = {name: kept for name, kept in self._of_engine.items() if name in names}
        for engine in engines:
            _of(self._of_engine, engine.name, EngineSignals).facts_are(engine, now_s)

    def link_is(self, link: LinkChanged) -> None:
        """Whatever the link knows of the master's clock."""
        if link.clock_skew_ms is not None:
            self._skew_s = abs(link.clock_skew_ms) / 1000

    def snapshot_is(self, snapshot: Snapshot, now_s: float) -> frozenset[str]:
        """A new look of the sampler; the scopes of which there is news. What is not new is not looked at again."""
        before, self._snapshot, self._sampled_s = self._snapshot, snapshot, now_s
        for name, health in snapshot.collectors.items():
            if health.get("ended"):
                self._seen.pop(name, None)
            elif health is not before.collectors.get(name) and not (health["error"] and name in self._seen):
                self._seen[name] = (now_s, health["interval_s"])
        scopes: set[str] = set()
        if snapshot.host is not before.host:
            scopes.add("host")
            self._host.see(snapshot.host)
        if snapshot.disks is not before.disks:
            scopes.add("disk")
            self._of_disk = {place: kept for place, kept in self._of_disk.items() if place in snapshot.disks}
            for place, figures in snapshot.disks.items():
                _of(self._of_disk, place, DiskSignals).see(figures, now_s)
        if snapshot.engines is not before.engines:
            scopes.add("engine")
            for name, signals in self._of_engine.items():
                signals.page_is(snapshot.engines.get(name, {}), now_s)
        if snapshot.containers is not before.containers:
            scopes.add("engine")
            for name, signals in self._of_engine.items():
                signals.container_is(snapshot.containers.get(name, {}))
        if snapshot.gpus is not before.gpus:
            scopes.add("gpu")
            for uuid, figures in snapshot.gpus.items():
                _of(self._of_gpu, uuid, GpuSignals).see(figures, now_s)
        if snapshot.drivers is not before.drivers:
            scopes.add("driver")
        if snapshot.agent is not before.agent:
            scopes.add("agent")
        return frozenset(scopes)

    # -- what goes out ---------------------------------------------------------------------------------------

    def samples(self, now_s: float, scopes: Container[str] | None = None) -> Samples:
        """Every signal now, or those of some scopes; what is new since the last call is new only once."""
        late = self._late(now_s)
        values: dict[str, Mapping[str, Mapping[str, Any]]] = {
            "collector": {name: {"late_intervals": value} if value else IN_TIME for name, value in late.items()}
        }
        if scopes is None or "engine" in scopes:
            values["engine"] = {n: one.figures(self._settings, now_s) for n, one in self._of_engine.items()}
        if self._snapshot.at and late[SAMPLER] < STALE_INTERVALS:
            unknown = _unknown(late)
            for scope, make in self._makers:
                if (scopes is None or scope in scopes) and scope not in unknown:
                    values[scope] = make(now_s)
        whole = {"engine"} if self._engines is not None and "engine" in values else set()
        return Samples(values, frozenset(whole | ({"disk"} & values.keys())), self._fresh(values))

    def _fresh(self, values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, AbstractSet[str]]]:
        """Scope -> subject -> its signals that are other than at the last call; what is the same is left out."""
        found: dict[str, dict[str, AbstractSet[str]]] = {}
        for scope, subjects in values.items():
            if scope == "gpu":  # knows it without comparing
                found[scope] = {uuid: fresh for uuid in subjects if (fresh := self._of_gpu[uuid].fresh)}
                continue
            before = self._told.get(scope, {})
            found[scope] = {
                subject: {name for name, value in figures.items() if old.get(name, NOTHING) != value}
                for subject, figures in subjects.items()
                if (old := before.get(subject, NOTHING)) is not figures and old != figures
            }
            self._told[scope] = subjects
        return found

    def _late(self, now_s: float) -> dict[str, float]:
        """Collector -> age of its last good look, in its intervals; of all together when nothing comes at all."""
        found = {SAMPLER: _intervals(now_s - self._sampled_s, self._settings.host_interval_s)}
        if found[SAMPLER] < STALE_INTERVALS:
            for name, (seen_s, interval_s) in self._seen.items():
                found[name] = _intervals(now_s - seen_s, interval_s)
        return found

    def _hosts(self, _now_s: float) -> dict[str, dict[str, Any]]:
        figures = self._host.figures()
        if self._skew_s is not None:
            figures["clock_skew_s"] = self._skew_s
        return {"host": figures}

    def _disks(self, _now_s: float) -> dict[str, dict[str, Any]]:
        return {directory: signals.figures() for directory, signals in self._of_disk.items()}

    def _drivers(self, _now_s: float) -> dict[str, dict[str, Any]]:
        return {name: dict(figures) for name, figures in self._snapshot.drivers.items()}

    def _agent(self, _now_s: float) -> dict[str, dict[str, Any]]:
        agent, settings = self._snapshot.agent, self._settings
        found: dict[str, Any] = {"spool_share": agent.get("spool_share")}
        if agent.get("rss_bytes") is not None:
            found["memory_by_budget"] = agent["rss_bytes"] / settings.agent_memory_budget_bytes
        if agent.get("cpu_cores") is not None:
            found["cpu_by_budget"] = agent["cpu_cores"] / settings.agent_cpu_budget_cores
        return {"agent": found}

    def _gpus(self, now_s: float) -> dict[str, dict[str, Any]]:
        holders, engines, signals = self._holders, self._snapshot.engines, self._of_gpu
        return {
            uuid: signals[uuid].figures(figures, holders.get(uuid), engines, now_s)
            for uuid, figures in self._snapshot.gpus.items()
        }


def _intervals(age_s: float, interval_s: float) -> float:
    """How many of its intervals a look is old; 0 while it is not late."""
    intervals = age_s / max(interval_s, STALE_MIN_S / STALE_INTERVALS)
    return round(intervals, 2) if intervals >= 1.0 else 0.0


def _unknown(late: Mapping[str, float]) -> frozenset[str]:
    """Scopes of which nothing is known."""
    return frozenset(
        scope for name, scopes in COLLECTOR_OF.items() if late.get(name, 0.0) >= STALE_INTERVALS for scope in scopes
    )


def _of(kept: dict[str, T], name: str, make: Callable[[], T]) -> T:
    """What is kept under that name, made when there is none."""
    found = kept.get(name)
    if found is None:
        found = kept[name] = make()
    return found
