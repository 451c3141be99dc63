"""Everything that is known at one moment. Immutable: collectors make parts, the sampler's actor puts them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; readers take it by reference and never change it.

    A room that no collector has seen anew is the very object of the snapshot before: compare with `is`.
    """

    at: float
    """Seconds since the epoch, of the newest part."""
    host: Figures = field(default_factory=dict)
    disks: Figures = field(default_factory=dict)
    """Directory -> figures."""
    drivers: Figures = field(default_factory=dict)
    gpus: Figures = field(default_factory=dict)
    """UUID -> figures."""
    containers: Figures = field(default_factory=dict)
    """Engine -> figures of its container."""
    engines: Figures = field(default_factory=dict)
    """Engine -> figures of its metrics page."""
    agent: Figures = field(default_factory=dict)
    collectors: Figures = field(default_factory=dict)
    """Collector -> at, duration_s, interval_s, errors_total, skipped_total, error."""
    host_parts: Figures = field(default_factory=dict)
    """Collector -> what it said last of the host."""

    def with_part(self, at: float, rooms: Mapping[str, Figures], host_parts: Figures | None = None) -> "Snapshot":
        """The next snapshot. Rooms come whole; the host's is put together from its parts, where these are given."""
        host = rooms.get("host", self.host)
        if host_parts is not None:
            host = {}
            for part in host_parts.values():
                host.update(part)
        return Snapshot(  # some times a second, and `replace` takes five times as long
            at,
            host,
            rooms.get("disks", self.disks),
            rooms.get("drivers", self.drivers),
            rooms.get("gpus", self.gpus),
            rooms.get("containers", self.containers),
            rooms.get("engines", self.engines),
            rooms.get("agent", self.agent),
            rooms.get("collectors", self.collectors),
            self.host_parts if host_parts is None else host_parts,
        )

    def rooms(self) -> dict[str, Any]:
        """Room -> figures, as JSON has it."""
        return {name: getattr(self, name) for name in ROOMS}

    def gpu_memory(self) -> dict[str, int] | None:
        """Bytes used of each GPU's memory, by UUID; None where nobody knows."""
        used = {uuid: figures.get("memory_used_bytes") for uuid, figures in self.gpus.items()}
        return {uuid: int(value) for uuid, value in used.items() if value is not None} or None

    def flat(self) -> dict[str, Any]:
        """Names with dots -> figures, as reports carry them; how long collectors took says little."""
        found: dict[str, Any] = {}
        for room in ROOMS:
            if room != "collectors":
                _flatten(found, room.removesuffix("s"), getattr(self, room))
        for name, figures in self.collectors.items():
            for key in ("errors_total", "skipped_total"):
                found[f"collector.{name}.{key}"] = figures[key]
        return found


ROOMS = ("host", "disks", "drivers", "gpus", "containers", "engines", "agent", "collectors")


PLAIN = frozenset({int, float, str, bool, type(None)})
"""What most figures are: to ask whether one is a mapping costs ten times as much."""


def _flatten(found: dict[str, Any], prefix: str, values: Figures) -> None:
    for key, value in values.items():
        if type(value) not in PLAIN and isinstance(value, Mapping):
            _flatten(found, f"{prefix}.{key}", value)
        else:
            found[f"{prefix}.{key}"] = value
