"""Signals of one GPU. Pure; time is an argument."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
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
FAST = (
    "temperature_c",
    "slowdown_margin_c",
    "lost",
    "xid_engine",
    "throttle_thermal_share",
    "throttle_brake_share",
    "memory_used_share",
    "memory_free_bytes",
    "reserved_by_engine",
    "pcie_width_share",
    "idle_with_queue",
)
"""Signals that are reckoned at every look."""
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
        self._fast: tuple[Any, ...] = (None,) * len(FAST)
        self._found: dict[str, Any] = dict.fromkeys(FAST)
        self.fresh: AbstractSet[str] = frozenset()
        """Signals that were other at the last call of `figures` than at the one before."""

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
        """What is known now: the dictionary of the last call, or a changed one; `fresh` says what of it changed.

        `holder` is the engine on it, `engines` the snapshot's. What is new is new only once.
        """
        before, fresh = self._found, dict[str, Any]()
        if not self._rests:
            seldom = self._of_seldom(gpu, now_s)
            fresh = {name: value for name, value in seldom.items() if before.get(name) != value}
        fast = self._of_fast(gpu, holder, engines)
        if fast != self._fast:
            fresh |= {name: value for name, old, value in zip(FAST, self._fast, fast, strict=True) if old != value}
            self._fast = fast
        self.fresh = fresh.keys()
        if fresh:
            self._found = {**before, **fresh}
        return self._found

    def _of_fast(
        self, gpu: Mapping[str, Any], holder: EngineFacts | None, engines: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        get = gpu.get
        temperature, busy = get("temperature_c"), get("utilization")
        thermal, brake = self._slowed.shares() if get("throttle_thermal") is not None else (None, None)
        total, used = get("memory_total_bytes"), get("memory_used_bytes")
        share = free = reserved = None
        if total and used is not None and not get("unified"):
            share, free, reserved = used / total, total - used, 0 if holder is None else 1
        width, most = get("pcie_width"), get("pcie_width_max")
        waiting = None if holder is None else engines.get(holder.name, NOTHING).get("waiting")
        idle = None
        if busy is not None and (holder is None or waiting is not None):  # else nobody knows whether requests wait
            idle = 1 if waiting and busy < BUSY else 0
        return (
            temperature,
            None if temperature is None else (get("slowdown_c") or SLOWDOWN_C) - temperature,
            1 if get("lost") else 0,
            "none of ours" if holder is None else holder.name,
            thermal,
            brake,
            share,
            free,
            reserved,
            width / most if busy is not None and busy >= BUSY and width and most else None,
            idle,
        )

    def _of_seldom(self, gpu: Mapping[str, Any], now_s: float) -> dict[str, Any]:
        found: dict[str, Any] = {name: gpu.get(name) for name in SAME}
        found["xid_app_10m"] = faults = self._faults_10m.total(now_s)
        new = 0
        for total, name in XIDS:
            found[name] = None if gpu.get(total) is None else self._xids[total].take()
            new += found[name] or 0
        found["ecc_corrected_per_hour"] = self._corrected.growth()
        found["pcie_replays_per_hour"] = self._replays.growth()
        up, errors = gpu.get("nvlinks_up"), gpu.get("nvlink_errors")
        found["nvlink_down"] = None if up is None else self._links_most - up
        found["nvlink_errors_new"] = None if errors is None else self._link_errors.take()
        new += found["nvlink_errors_new"] or 0
        self._rests = not new and not faults and self._corrected.rests and self._replays.rests
        return found
