"""Which figures of a snapshot are charted, and under which names. Pure.

Shares are 0..1, rates of bytes are MiB/s, so that each fits the history's half-precision numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

MIB = 1 << 20
HOST = {
    "cpu": ("cpu.busy", 1.0),
    "pressure_cpu": ("pressure.cpu.some", 1.0),
    "pressure_memory": ("pressure.memory.some", 1.0),
    "pressure_io": ("pressure.io.some", 1.0),
    "received": ("net.received_bytes_per_s", MIB),
    "sent": ("net.sent_bytes_per_s", MIB),
    "read": ("disk.read_bytes_per_s", MIB),
    "written": ("disk.written_bytes_per_s", MIB),
}
"""Name -> the snapshot's figure, and what it is divided by."""
GPU = {"utilization": "utilization", "temperature": "temperature_c", "power": "power_w"}
ENGINE = {
    "tokens": "generated_tokens_per_s",
    "prompt_tokens": "prompt_tokens_per_s",
    "running": "running",
    "waiting": "waiting",
    "kv": "kv_usage",
    "ttft": "ttft_p95_s",
}
COLLECTORS = {"received": "containers", "sent": "containers", "read": "containers", "written": "containers"}
"""Who sees a host's figure, where it is not the collector `host`."""
PATIENCE = 3.0
"""Intervals after which a collector's last figures are no longer the present."""


def charted(snapshot: Any) -> dict[str, float]:
    """`host.cpu`, `gpu.UUID.power`, `engine.NAME.tokens` and so on; what is not known is not there."""
    return {name: float(value) for name, value in _pairs(snapshot) if _is_number(value)}


def _pairs(snapshot: Any) -> Iterator[tuple[str, Any]]:
    host = _room(snapshot, "host")
    for name, (figure, unit) in HOST.items():
        value = host.get(figure)
        if _fresh(snapshot, COLLECTORS.get(name, "host")):
            yield f"host.{name}", value / unit if _is_number(value) else None
    if _fresh(snapshot, "host"):
        yield "host.memory", _used(host.get("memory.total_bytes"), _gone(host, "memory.total_bytes"))
    for uuid, figures in _room(snapshot, "gpus").items() if _fresh(snapshot, "gpu") else ():
        for name, figure in GPU.items():
            yield f"gpu.{uuid}.{name}", figures.get(figure)
        yield f"gpu.{uuid}.memory", _used(figures.get("memory_total_bytes"), figures.get("memory_used_bytes"))
    for engine, figures in _room(snapshot, "engines").items() if _fresh(snapshot, "engines") else ():
        for name, figure in ENGINE.items():
            yield f"engine.{engine}.{name}", figures.get(figure)


def _fresh(snapshot: Any, collector: str) -> bool:
    """Whether the figures of a collector are of now; a snapshot that does not tell is taken at its word."""
    health, at = _room(snapshot, "collectors").get(collector), _get(snapshot, "at")
    if not isinstance(health, Mapping) or not _is_number(at):
        return True
    seen, interval_s = health.get("at"), health.get("interval_s")
    if health.get("error") or not _is_number(seen) or not _is_number(interval_s):
        return not health.get("error")
    return at - seen <= PATIENCE * interval_s + 1.0


def _room(snapshot: Any, name: str) -> Mapping[str, Any]:
    found = _get(snapshot, name)
    return found if isinstance(found, Mapping) else {}


def _get(snapshot: Any, name: str) -> Any:
    """A part of a snapshot, which is frozen data or a mapping."""
    return snapshot.get(name) if isinstance(snapshot, Mapping) else getattr(snapshot, name, None)


def _gone(host: Mapping[str, Any], total: str) -> float | None:
    whole, available = host.get(total), host.get("memory.available_bytes")
    return whole - available if _is_number(whole) and _is_number(available) else None


def _used(total: Any, used: Any) -> float | None:
    return used / total if _is_number(total) and _is_number(used) and total > 0 else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
