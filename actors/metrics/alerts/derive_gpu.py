"""Signals of one GPU. Pure; time is an argument."""

from collections.abc import Mapping
from typing import Any

from actors.facts import EngineFacts
from actors.metrics.windows import Grown, Growth, Recent, Slowed

MINUTE_S = 60.0
TEN_MINUTES_S = 600.0
HOUR_S = 3_600.0
SLOWDOWN_C = 90.0
"""Where the card names no threshold of its own."""
BUSY = 0.05
"""Below it a GPU does nothing; above it its link runs at its full width."""
NOTHING: Mapping[str, Any] = {}
XID_CLASSES = ("fatal", "memory", "app")
XIDS = tuple((f"xid_{name}_total", f"xid_{name}_new") for name in XID_CLASSES)
SAME = ("ecc_uncorrectable", "remap_pending", "remap_failure", "fan_share", "xid_code", "xid_text")
"""Figures that are signals as they are."""
SELDOM = (*(total for total, _ in XIDS), "ecc_corrected", "pcie_replays", "nvlink_errors", "nvlinks_up", *SAME)
"""What stands still for minutes: of a GPU that has none of it anew, nothing of it is reckoned again."""


class GpuSignals:
    """One GPU between two looks."""

    def __init__(self) -> None:
        self._xids = {total: Growth() for total, _ in XIDS}
        self._faults = Growth()
        self._faults_10m = Recent(TEN_MINUTES_S)
        self._slowed = Slowed(MINUTE_S)
        self._corrected, self._replays = Grown(HOUR_S), Grown(HOUR_S)
        self._counters = ((self._corrected, "ecc_corrected"), (self._replays, "pcie_replays"))
        self._link_errors = Growth()
        self._links_most = 0
        self._seldom: tuple[Any, ...] = ()
        self._rests = False
        """Whether what seldom changes stood still at the last look, and time alone changes nothing of it."""
        self._kept: dict[str, Any] = {}

    def see(self, gpu: Mapping[str, Any], now_s: float) -> None:
        """A new look."""
        thermal, brake = gpu.get("throttle_thermal"), gpu.get("throttle_brake")
        if thermal is not None and brake is not None:
            self._slowed.add(now_s, bool(thermal), bool(brake))
        seldom = tuple(map(gpu.get, SELDOM))
        if not self._rests or seldom != self._seldom:
            self._seldom, self._rests = seldom, False
            self._see_seldom(gpu, now_s)

    def _see_seldom(self, gpu: Mapping[str, Any], now_s: float) -> None:
        for name, growth in self._xids.items():
            total = gpu.get(name)
            if total is not None:
                growth.see(total)
        faults = gpu.get("xid_app_total")
        if faults is not None:
            self._faults.see(faults)
            self._faults_10m.add(now_s, self._faults.take())
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
        if not self._rests:
            self._kept = self._of_seldom(gpu, now_s)
        temperature = gpu.get("temperature_c")
        found = {
            **self._kept,
            "temperature_c": temperature,
            "lost": 1 if gpu.get("lost") else 0,
            "xid_engine": "none of ours" if holder is None else holder.name,
        }
        if gpu.get("throttle_thermal") is not None:
            found["throttle_thermal_share"], found["throttle_brake_share"] = self._slowed.shares()
        if temperature is not None:
            found["slowdown_margin_c"] = (gpu.get("slowdown_c") or SLOWDOWN_C) - temperature
        total, used = gpu.get("memory_total_bytes"), gpu.get("memory_used_bytes")
        if total and used is not None and not gpu.get("unified"):
            found["memory_used_share"], found["memory_free_bytes"] = used / total, total - used
            found["reserved_by_engine"] = 0 if holder is None else 1
        busy = gpu.get("utilization")
        width, most = gpu.get("pcie_width"), gpu.get("pcie_width_max")
        if busy is not None and busy >= BUSY and width and most:
            found["pcie_width_share"] = width / most
        waiting = None if holder is None else engines.get(holder.name, NOTHING).get("waiting")
        if busy is not None and (holder is None or waiting is not None):  # else it is not known whether requests wait
            found["idle_with_queue"] = 1 if waiting and busy < BUSY else 0
        return found

    def _of_seldom(self, gpu: Mapping[str, Any], now_s: float) -> dict[str, Any]:
        found: dict[str, Any] = {name: gpu.get(name) for name in SAME}
        found["xid_app_10m"] = faults = self._faults_10m.total(now_s)
        new = 0
        for total, name in XIDS:
            if gpu.get(total) is not None:
                found[name] = self._xids[total].take()
                new += found[name]
        found["ecc_corrected_per_hour"] = self._corrected.growth()
        found["pcie_replays_per_hour"] = self._replays.growth()
        if gpu.get("nvlinks_up") is not None:
            found["nvlink_down"] = self._links_most - gpu["nvlinks_up"]
        if gpu.get("nvlink_errors") is not None:
            found["nvlink_errors_new"] = self._link_errors.take()
            new += found["nvlink_errors_new"]
        self._rests = not new and not faults and self._corrected.rests and self._replays.rests
        return found
