"""Watches the GPUs from outside the driver: two threads are in its blocking calls, readers see what they last left.

A driver that hangs keeps the threads that are in it and no other. Then nothing is known of the GPUs, and that is said.
The kernel's log never blocks: a third thread, which has other things to read, reads it too.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import procfs
from .amd import AmdGpus
from .gpu import Gpus
from .gpu_queries import Figures
from .kernel_log import FILE as KERNEL_LOG
from .kernel_log import KernelLog
from .xid import CLASSES, meaning

HUNG_S = 10.0
"""A look that takes longer is a driver that hangs."""
EVENT_WAIT_S = 5.0
"""Of one wait for the driver's events: an event ends it at once, and a stop only after it."""
DEAF_S = 1.0
"""Between two tries to wait where the driver does not let us."""
ECHO_S = 5.0
"""The driver's event and the kernel's line of the same event come within this time of each other."""
Clock = Callable[[], float]


class Switch(Protocol):
    """A flag of the runtime, or a thread's event."""

    def set(self) -> None:
        """Wake whoever waits."""

    def is_set(self) -> bool:
        """Whether it was set."""

    def wait(self, timeout_s: float, /) -> bool:
        """Whether it was set within the time."""


def _as_they_are(_gpus: Mapping[str, Figures]) -> None:
    """Where nothing is added."""


NO_XIDS: Mapping[str, Any] = {f"xid_{name}_total": 0 for name in CLASSES}


@dataclass(frozen=True, slots=True)
class GpuLook:
    """What is known of the GPUs now: UUID -> figures, and the driver's own; None where there never was one."""

    gpus: Mapping[str, Figures]
    driver: Figures | None


def no_gpus() -> GpuLook:
    """Where GPUs are not measured."""
    return GpuLook({}, None)


class GpuWatch:
    """`look` by one thread at a time, `listen` in another until `stop`; `read_log` in one more; `latest` from any."""

    def __init__(
        self,
        gpus: Gpus,
        amd: AmdGpus,
        clock: Clock,
        on_event: Callable[[], None],
        kernel_log: Path = KERNEL_LOG,
        switch: Callable[[], Switch] = threading.Event,
        complete: Callable[[Mapping[str, Figures]], None] = _as_they_are,
    ) -> None:
        self._gpus, self._amd, self._log_file = gpus, amd, kernel_log
        self._log: KernelLog | None = None
        self._clock, self._on_event = clock, on_event
        self._complete = complete
        """Adds to a look's figures what is known elsewhere."""
        self._echoes: dict[tuple[str, int], tuple[str, float]] = {}
        """GPU and code -> who told of it first, and when."""
        self._stop, self._ready = switch(), switch()
        self._latest = GpuLook({}, None)
        self._began_s: float | None = None
        """When the look that is under way began."""
        self._lock, self._log_lock = threading.Lock(), threading.Lock()
        self._xids: dict[str, dict[str, Any]] = {}
        self._kept = procfs.Kept()

    def look(self) -> GpuLook | None:
        """What there is now; the first look starts the driver's library. None where there never will be anything."""
        self._began_s = now_s = self._clock()
        try:
            self._look(now_s)
        finally:
            self._began_s = None
        return None if self._gpus.never and not self._amd.cards else self._latest

    def _look(self, now_s: float) -> None:
        first = not self._ready.is_set()
        if first:
            self._gpus.start(now_s)
        figures = self._gpus.sample(now_s)
        figures.update(self._amd.sample())
        for values in figures.values():
            if values.get("unified"):
                self._unified(values)
        self._complete(figures)
        driver = self._gpus.driver()
        if driver is not None:
            driver["hung"] = 0
        with self._lock:  # an event that comes meanwhile is in this look or in the next snapshot, and never lost
            xids = self._xids
            for uuid, values in figures.items():
                values.update(xids.get(uuid, NO_XIDS))
            self._latest = GpuLook(figures, driver)
        if first:
            self._ready.set()
            with self._log_lock:
                if not self._stop.is_set():
                    self._log = KernelLog(self._log_file)

    def close(self) -> None:
        """By the thread that looked last: give everything back."""
        self._stop.set()
        self._gpus.stop()
        self._kept.close()
        with self._log_lock:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _unified(self, figures: Figures) -> None:
        """Memory that is the machine's own: all of it, and what the GPU's processes say they use."""
        figures["memory_total_bytes"] = procfs.read_memory(self._kept).get("memory.total_bytes")
        used = [size for _, size in figures.get("processes", ()) if size is not None]
        if "processes" in figures:
            figures["memory_used_bytes"] = sum(used)

    def listen(self) -> None:
        """In the thread that waits for the driver's events."""
        while not self._ready.wait(EVENT_WAIT_S):
            if self._stop.is_set():
                return
        while not self._stop.is_set():
            event = self._gpus.wait_event(EVENT_WAIT_S) if self._gpus.running else None
            if event is not None and not self._stop.is_set():
                self._happened(*event, source="driver")
            if not self._gpus.running or self._gpus.deaf:
                self._stop.wait(DEAF_S)

    def read_log(self) -> None:
        """What the kernel's log has, without blocking: what the driver tells while nobody waits is lost."""
        with self._log_lock:
            found = [] if self._log is None else self._log.xids()
        for address, code in found:
            addresses = {figures.get("pci_address"): uuid for uuid, figures in self._latest.gpus.items()}
            if address in addresses:
                self._happened(addresses[address], code, source="kernel")

    def _happened(self, uuid: str, code: int, source: str) -> None:
        kind, words = meaning(code)
        with self._lock:
            first, at_s = self._echoes.pop((uuid, code), (source, 0.0))
            if first != source and self._clock() - at_s <= ECHO_S:
                return  # the other has told of it
            self._echoes[uuid, code] = (source, self._clock())
            seen = dict(self._xids.get(uuid, NO_XIDS))
            seen[f"xid_{kind}_total"] += 1
            self._xids[uuid] = seen | {"xid_code": code, "xid_text": words}
            look = self._latest
            if uuid in look.gpus:
                self._latest = GpuLook({**look.gpus, uuid: {**look.gpus[uuid], **self._xids[uuid]}}, look.driver)
        self._on_event()

    def stop(self) -> None:
        """End the thread that listens soon; one that hangs in the driver stays behind."""
        self._stop.set()

    @property
    def hung(self) -> bool:
        """Whether the driver keeps a look for too long."""
        began_s = self._began_s
        return began_s is not None and self._clock() - began_s > HUNG_S

    def latest(self) -> GpuLook:
        """What is known now; while the driver hangs, only that."""
        look = self._latest
        if self.hung:
            return GpuLook({}, {**(look.driver or {}), "hung": 1})
        return look
