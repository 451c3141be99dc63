"""Watches the GPUs from outside the driver: two threads own the blocking calls, readers see what they last left.

A driver that hangs keeps its own thread and no other. Then nothing is known of the GPUs, and that is said.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import procfs
from .amd import AmdGpus
from .gpu import Gpus
from .gpu_queries import Figures
from .xid import CLASSES, meaning

HUNG_S = 10.0
"""A look that takes longer is a driver that hangs."""
EVENT_WAIT_S = 1.0
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class GpuLook:
    """What is known of the GPUs now: UUID -> figures, and the driver's own; None where there never was one."""

    gpus: Mapping[str, Figures]
    driver: Figures | None


def no_gpus() -> GpuLook:
    """Where GPUs are not measured."""
    return GpuLook({}, None)


class GpuWatch:
    """`look_on` and `listen` each in a thread of its own until `stop`; `latest` from any."""

    def __init__(self, gpus: Gpus, amd: AmdGpus, interval_s: float, clock: Clock, on_event: Callable[[], None]) -> None:
        self._gpus, self._amd = gpus, amd
        self._interval_s, self._clock, self._on_event = interval_s, clock, on_event
        self._stop, self._ready = threading.Event(), threading.Event()
        self._latest = GpuLook({}, None)
        self._began_s: float | None = None
        """When the look that is under way began."""
        self._lock = threading.Lock()
        self._xids: dict[str, dict[str, Any]] = {}
        self._kept = procfs.Kept()

    def look_on(self) -> None:
        """In the thread that owns the driver: start it, then look again and again; ends where there is nothing."""
        try:
            self._began_s = self._clock()
            self._gpus.start(self._began_s)
            self._look()
            if self._gpus.never and not self._amd.cards:
                self._stop.set()
            self._ready.set()
            while not self._stop.wait(self._interval_s):
                self._look()
        finally:
            self._gpus.stop()
            self._kept.close()

    def _look(self) -> None:
        now_s = self._clock()
        self._began_s = now_s
        figures = self._gpus.sample(now_s) | self._amd.sample()
        for values in figures.values():
            self._unified(values)
        self._latest, self._began_s = GpuLook(figures, self._gpus.driver()), None

    def _unified(self, figures: Figures) -> None:
        """Memory that is the machine's own: all of it, and what the GPU's processes say they use."""
        if not figures.get("unified"):
            return
        figures["memory_total_bytes"] = procfs.read_memory(self._kept).get("total")
        used = [size for _, size in figures.get("processes", ()) if size is not None]
        if "processes" in figures:
            figures["memory_used_bytes"] = sum(used)

    def listen(self) -> None:
        """In the thread that waits for the driver's events."""
        while not self._ready.wait(EVENT_WAIT_S):
            if self._stop.is_set():
                return
        while not self._stop.is_set():
            if not self._gpus.running:
                self._stop.wait(EVENT_WAIT_S)
                continue
            event = self._gpus.wait_event(EVENT_WAIT_S)
            if event is not None:
                self._happened(*event)

    def _happened(self, uuid: str, code: int) -> None:
        kind, words = meaning(code)
        with self._lock:
            seen = self._xids.setdefault(uuid, {f"xid_{name}_total": 0 for name in CLASSES})
            seen[f"xid_{kind}_total"] += 1
            seen |= {"xid_code": code, "xid_text": words}
        self._on_event()

    def stop(self) -> None:
        """End both threads soon; one that hangs in the driver stays behind."""
        self._stop.set()

    def latest(self) -> GpuLook:
        """What is known now; while the driver hangs, only that."""
        began_s, look = self._began_s, self._latest
        if began_s is not None and self._clock() - began_s > HUNG_S:
            return GpuLook({}, {**(look.driver or {}), "hung": 1})
        none = {f"xid_{name}_total": 0 for name in CLASSES}
        with self._lock:
            gpus = {uuid: {**figures, **none, **self._xids.get(uuid, {})} for uuid, figures in look.gpus.items()}
        return GpuLook(gpus, None if look.driver is None else {**look.driver, "hung": 0})
