"""Signals of the machine and of its disks. Pure; time is an argument."""

from collections.abc import Mapping
from typing import Any

from actors.metrics.windows import Growth, Window

TREND_S = 600.0
TREND_MIN_S = 120.0
"""A pace over less than this says nothing about the next hours."""


class HostSignals:
    """The machine between two looks."""

    def __init__(self) -> None:
        self._kills = Growth()
        self._latest: Mapping[str, Any] = {}

    def see(self, host: Mapping[str, Any]) -> None:
        """A new look."""
        self._latest = host
        kills = host.get("oom_kills")
        if kills is not None:
            self._kills.see(kills)

    def figures(self) -> dict[str, Any]:
        """What is known now."""
        host = self._latest
        found: dict[str, Any] = {
            "pressure_memory_full": host.get("pressure.memory.full"),
            "pressure_cpu_some": host.get("pressure.cpu.some"),
            "docker_down": None if host.get("docker_up") is None else int(not host["docker_up"]),
        }
        total, available = host.get("memory.total_bytes"), host.get("memory.available_bytes")
        if total and available is not None:
            found["memory_available_share"] = available / total
        if host.get("oom_kills") is not None:
            found["oom_kills_new"] = self._kills.take()
        return found


class DiskSignals:
    """One file system between two looks."""

    def __init__(self) -> None:
        self._free = Window(TREND_S)
        self._latest: Mapping[str, Any] = {}

    def see(self, disk: Mapping[str, Any], now_s: float) -> None:
        """A new look; `disk` has total_bytes, free_bytes, used_share and inodes_used_share, each perhaps None."""
        self._latest = disk
        if disk.get("free_bytes") is not None:
            self._free.add(now_s, disk["free_bytes"])

    def figures(self) -> dict[str, Any]:
        """What is known now; a disk that does not fill has no end in sight."""
        found = {name: value for name, value in self._latest.items() if name != "hung"}
        if "hung" in self._latest:
            found["hung"] = int(self._latest["hung"])
        pace = self._free.slope() if self._free.covers_s >= TREND_MIN_S else None
        if pace is not None:
            free = found.get("free_bytes")
            if free is not None:
                found["full_in_s"] = free / -pace if pace < 0 else float("inf")
        return found
