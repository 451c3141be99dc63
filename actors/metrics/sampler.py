"""One look at everything, in the collector's thread: nothing else ever asks a driver, a file or an engine."""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from actors.facts import EngineFacts
from config.metrics import MetricsSettings

from . import cgroup, engine_schema, host, procfs
from .docker_ping import docker_answers
from .engine_latency import Latencies, read_buckets
from .exposition import PAGE_MAX_BYTES, parse
from .gpu_watch import GpuLook, no_gpus

FOREIGN = "-"
"""Stands for every program on a GPU that is in no engine's container."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; readers take it by reference."""

    at: float
    """Seconds since the epoch."""
    host: dict[str, Any] = field(default_factory=dict)
    disks: dict[str, Any] = field(default_factory=dict)
    drivers: dict[str, Any] = field(default_factory=dict)
    gpus: dict[str, Any] = field(default_factory=dict)
    containers: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, Any] = field(default_factory=dict)
    agent: dict[str, Any] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """Names with dots -> figures, as reports carry them."""
        found: dict[str, Any] = {}
        for room, values in asdict(self).items():
            if isinstance(values, dict):
                _flatten(found, room.removesuffix("s"), values)
        return found


def _flatten(found: dict[str, Any], prefix: str, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _flatten(found, f"{prefix}.{key}", value)
        else:
            found[f"{prefix}.{key}"] = value


@dataclass(frozen=True, slots=True)
class Sampled:
    """From the collector's thread, and to observers: the latest snapshot."""

    snapshot: Snapshot


class Sampler:
    """Keeps what rates need between two looks; one thread calls it."""

    def __init__(
        self,
        settings: MetricsSettings,
        directories: Sequence[Path],
        docker_host: str = "",
        gpus: Callable[[], GpuLook] = no_gpus,
    ) -> None:
        self._settings, self._directories, self._docker_host = settings, tuple(directories), docker_host
        self._kept = procfs.Kept()
        self._gpus = gpus
        self._before: procfs.Counters | None = None
        self._pages: dict[str, tuple[float, dict[str, float]]] = {}
        self._latencies: dict[str, Latencies] = {}
        self._cpu: dict[str, tuple[float, float]] = {}

    def sample(self, engines: Sequence[EngineFacts], wall: float) -> Snapshot:
        """Look at everything once."""
        gpus = self._gpus()
        return Snapshot(
            at=wall,
            host=self._host(),
            disks={str(directory): found for directory in self._directories if (found := host.disk(directory))},
            drivers={} if gpus.driver is None else {"gpu": gpus.driver},
            gpus={uuid: self._gpu(figures, engines) for uuid, figures in gpus.gpus.items()},
            containers={engine.name: found for engine in engines if (found := self._container(engine))},
            engines={engine.name: self._engine(engine) for engine in engines},
            agent=host.own_process(),
        )

    def close(self) -> None:
        """Close kept files."""
        self._kept.close()

    def _host(self) -> dict[str, Any]:
        memory = procfs.read_memory(self._kept)
        figures: dict[str, Any] = {f"memory.{name}_bytes": value for name, value in memory.items()}
        figures["load1"] = procfs.read_load(self._kept)
        figures |= {f"pressure.{name}": share for name, share in procfs.read_pressure(self._kept)}
        figures["oom_kills"] = procfs.read_oom_kills(self._kept)
        if self._docker_host:
            figures["docker_up"] = docker_answers(self._docker_host, self._settings.page_timeout_s)
        now = procfs.read_counters(self._kept, time.monotonic())
        before, self._before = self._before, now
        if before is not None and now is not None:
            figures |= _host_rates(before, now)
        return figures

    def _gpu(self, figures: dict[str, Any], engines: Sequence[EngineFacts]) -> dict[str, Any]:
        """Its figures, with its processes by the engine whose container they are in."""
        found = {name: value for name, value in figures.items() if name != "processes"}
        if "processes" not in figures:
            return found
        groups = {group: engine.name for engine in engines if (group := cgroup.group_of(self._kept, engine.pid))}
        by_engine: dict[str, int | None] = {}
        for pid, size in figures["processes"]:
            name = groups.get(cgroup.group_of(self._kept, pid) or "", FOREIGN)
            before = by_engine.get(name, 0)
            by_engine[name] = None if size is None or before is None else before + size
        return found | {"processes": len(figures["processes"]), "memory_by_engine": by_engine}

    def _container(self, engine: EngineFacts) -> dict[str, Any] | None:
        if engine.pid is None:
            return None
        usage = cgroup.read_usage(self._kept, engine.pid)
        if usage is None:
            return None
        figures = asdict(usage)
        now = time.monotonic()
        if usage.cpu_s is not None:
            before = self._cpu.get(engine.name)
            self._cpu[engine.name] = (now, usage.cpu_s)
            if before is not None and usage.cpu_s >= before[1] and now > before[0]:
                figures["cpu_cores"] = round((usage.cpu_s - before[1]) / (now - before[0]), 4)
        return figures

    def _engine(self, engine: EngineFacts) -> dict[str, Any]:
        figures: dict[str, Any] = {"state": engine.state, "restarts": engine.restarts}
        if engine.state != "ready" or engine.metrics_url is None:
            self._pages.pop(engine.name, None)
            self._latencies.pop(engine.name, None)
            return figures
        page = fetch_page(engine.metrics_url, self._settings.page_timeout_s)
        if page is None:
            return figures | {"page_missing": True}
        samples = tuple(parse(page))
        now, read = time.monotonic(), engine_schema.read_page(samples)
        latencies = self._latencies.setdefault(engine.name, Latencies())
        quantiles = latencies.see(read_buckets(samples), now)
        before = self._pages.get(engine.name)
        self._pages[engine.name] = (now, read)
        if before is not None:
            read = read | engine_schema.rates(before[1], read, now - before[0])
        return figures | read | quantiles


def _host_rates(before: procfs.Counters, now: procfs.Counters) -> dict[str, float]:
    seconds = now.at - before.at
    total = now.total_s - before.total_s
    if seconds <= 0 or total <= 0:
        return {}
    pairs = {
        "net.received_bytes_per_s": (before.received_bytes, now.received_bytes),
        "net.sent_bytes_per_s": (before.sent_bytes, now.sent_bytes),
        "disk.read_bytes_per_s": (before.read_bytes, now.read_bytes),
        "disk.written_bytes_per_s": (before.written_bytes, now.written_bytes),
    }
    rates = {name: round((new - old) / seconds, 1) for name, (old, new) in pairs.items() if new >= old}
    return rates | {"cpu.busy": round(max(0.0, min(1.0, (now.busy_s - before.busy_s) / total)), 4)}


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
