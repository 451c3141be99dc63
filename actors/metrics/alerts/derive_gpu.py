"""Signals of one GPU. Pure; time is an argument."""

from collections.abc import Mapping
from typing import Any

from actors.facts import EngineFacts
from actors.metrics.windows import Grown, Growth, Recent, Window

MINUTE_S = 60.0
TEN_MINUTES_S = 600.0
HOUR_S = 3_600.0
SLOWDOWN_C = 90.0
"""Where the card names no threshold of its own."""
BUSY = 0.05
"""Below it a GPU does nothing; above it its link runs at its full width."""
XID_CLASSES = ("fatal", "memory", "app")
XIDS = tuple((f"xid_{name}_total", f"xid_{name}_new") for name in XID_CLASSES)
SAME = (
    "ecc_uncorrectable",
    "remap_pending",
    "remap_failure",
    "temperature_c",
    "fan_share",
    "xid_code",
    "xid_text",
)
"""Figures that are signals as they are."""


class GpuSignals:
    """One GPU between two looks."""

    def __init__(self) -> None:
        self._xids = {total: Growth() for total, _ in XIDS}
        self._faults = Growth()
        self._faults_10m = Recent(TEN_MINUTES_S)
        self._thermal, self._brake = Window(MINUTE_S), Window(MINUTE_S)
        self._corrected, self._replays = Grown(HOUR_S), Grown(HOUR_S)
        self._means = ((self._thermal, "throttle_thermal"), (self._brake, "throttle_brake"))
        self._counters = ((self._corrected, "ecc_corrected"), (self._replays, "pcie_replays"))
        self._link_errors = Growth()
        self._links_most = 0

    def see(self, gpu: Mapping[str, Any], now_s: float) -> None:
        """A new look."""
        for name, growth in self._xids.items():
            total = gpu.get(name)
            if total is not None:
                growth.see(total)
        faults = gpu.get("xid_app_total")
        if faults is not None:
            self._faults.see(faults)
            self._faults_10m.add(now_s, self._faults.take())
        for window, name in self._means:
            value = gpu.get(name)
            if value is not None:
                window.add(now_s, float(value))
        for counter, name in self._counters:
            value = gpu.get(name)
            if value is not None:
                counter.see(now_s, value)
        errors = gpu.get("nvlink_errors")
        if errors is not None:
            self._link_errors.see(errors)
        self._links_most = max(self._links_most, gpu.get("nvlinks_up") or 0)

    def figures(
        self, gpu: Mapping[str, Any], holder: EngineFacts | None, engines: Mapping[str, Any], now_s: float
    ) -> dict[str, Any]:
        """What is known now; `holder` is the engine on it, `engines` the snapshot's. What is new is new only once."""
        found: dict[str, Any] = {name: gpu.get(name) for name in SAME}
        found["lost"] = int(bool(gpu.get("lost")))
        found["xid_engine"] = holder.name if holder else "none of ours"
        found["xid_app_10m"] = self._faults_10m.total(now_s)
        for total, new in XIDS:
            if gpu.get(total) is not None:
                found[new] = self._xids[total].take()
        if gpu.get("throttle_thermal") is not None:
            found["throttle_thermal_share"], found["throttle_brake_share"] = self._thermal.mean(), self._brake.mean()
        found["ecc_corrected_per_hour"] = self._corrected.growth()
        found["pcie_replays_per_hour"] = self._replays.growth()
        if gpu.get("temperature_c") is not None:
            found["slowdown_margin_c"] = (gpu.get("slowdown_c") or SLOWDOWN_C) - gpu["temperature_c"]
        found.update(self._memory(gpu, holder))
        found.update(self._links(gpu))
        found.update(_queue(gpu, holder, engines))
        return found

    def _memory(self, gpu: Mapping[str, Any], holder: EngineFacts | None) -> dict[str, Any]:
        total, used = gpu.get("memory_total_bytes"), gpu.get("memory_used_bytes")
        if gpu.get("unified") or not total or used is None:
            return {}
        return {
            "memory_used_share": used / total,
            "memory_free_bytes": total - used,
            "reserved_by_engine": int(holder is not None),
        }

    def _links(self, gpu: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if gpu.get("nvlinks_up") is not None:
            found["nvlink_down"] = self._links_most - gpu["nvlinks_up"]
        if gpu.get("nvlink_errors") is not None:
            found["nvlink_errors_new"] = self._link_errors.take()
        width, most = gpu.get("pcie_width"), gpu.get("pcie_width_max")
        if width and most and (gpu.get("utilization") or 0.0) >= BUSY:
            found["pcie_width_share"] = width / most
        return found


def _queue(gpu: Mapping[str, Any], holder: EngineFacts | None, engines: Mapping[str, Any]) -> dict[str, Any]:
    """Whether requests wait for the engine on it while it does nothing; not known where either is not."""
    busy = gpu.get("utilization")
    waiting = None if holder is None else engines.get(holder.name, {}).get("waiting")
    if busy is None or (holder is not None and waiting is None):
        return {}
    return {"idle_with_queue": int(bool(waiting) and busy < BUSY)}
