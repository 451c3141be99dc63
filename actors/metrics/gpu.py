"""The one home of pynvml: NVIDIA GPUs by UUID. Every figure is optional; what is not supported is never 0.

One thread owns a Gpus: it starts the library once, keeps handles, and asks what gpu_queries names. A second thread may
wait in `wait_event`. No call here has a deadline, since the vendor's library has none: gpu_watch sees a hang from
outside.
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .gpu_fast import FastQueries, FastQuery, fast_queries, function_of
from .gpu_links import links_query
from .gpu_queries import QUERIES, Figures, Pace, Query

VERSION_FILE = Path("/sys/module/nvidia/version")
"""Of the loaded kernel module; another than at the start means that the driver was changed under us."""
VERSION_MAX_BYTES = 256
RETRY_S = 60.0
"""Between two tries to find a driver that is not loaded, or a GPU that is lost."""
XID_EVENT = 0x8
WAITS = ("nvmlEventSetWait_v2", "nvmlEventSetWait")
TIMED_OUT = 10
"""NVML_ERROR_TIMEOUT: nothing came, after the whole time."""
NOT_SUPPORTED = "NOT_SUPPORTED"
FOREVER = (NOT_SUPPORTED, "FUNCTION_NOT_FOUND", "NO_PERMISSION", "NO_DATA")
"""Answers that stay the same while the driver is loaded: asked once, and remembered."""
GONE = ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND")
UNLOADED = ("DRIVER_NOT_LOADED", "UNINITIALIZED")
ONCE, SLOW = (tuple(query for query in QUERIES if query.pace is pace) for pace in Pace)


@dataclass(slots=True)
class _Kept:
    """What is remembered of one GPU."""

    handle: Any
    queries: FastQueries
    fast: tuple[FastQuery, ...]
    """What of them is asked each second."""
    once: Figures = field(default_factory=dict)
    asks_once: bool = True
    """What does not change is still to be asked."""
    base: Figures = field(default_factory=lambda: {"lost": 0})
    """What is not asked each second: every look begins with a copy of it."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """Question -> why it is not asked again."""
    lost: bool = False
    ask_again_s: float = 0.0


class Gpus:
    """All GPUs of one driver; one thread calls it. Without a driver there are none, and that is no fault."""

    def __init__(self, version_file: Path = VERSION_FILE, slow_s: float = 15.0) -> None:
        self._version_file, self._slow_s = str(version_file), slow_s
        self._nvml: Any = None
        self._kept: dict[str, _Kept] = {}
        self._slow = SLOW
        self._seen: set[str] = set()
        self._codes: Mapping[int, str] = {}
        self._running = self.mismatch = False
        self._try_again_s: float | None = 0.0
        self._slow_at_s = 0.0
        self._module_version = ""
        self._events: Any = None
        self._event: Any = None
        self._wait: Any = None
        """The library's own function: its answer most often is that nothing came, and an exception is dear."""
        self._use = threading.Lock()
        self._waits = self._ended = self._listens_anew = False
        self.deaf = False
        """Whether the last wait for events failed instead of waiting."""
        self.version = ""
        self.why = ""
        """Why there are none, for people."""

    # -- the library -----------------------------------------------------------------------------------------

    def start(self, now_s: float = 0.0) -> bool:
        """Load the driver's library and find the GPUs; False when there is nothing to measure."""
        try:
            import pynvml  # noqa: PLC0415  # only where GPUs are measured: 2 MiB, and a library that may be absent
        except ImportError as error:
            self.why, self._try_again_s = str(error), None
            return False
        self._nvml = pynvml
        self._codes = {getattr(pynvml, name): name.removeprefix("NVML_ERROR_") for name in _error_names(pynvml)}
        try:
            pynvml.nvmlInit()
            self._running, self.mismatch = True, False
            self._find()
        except pynvml.NVMLError as error:
            self._failed(error, now_s)
            return False
        return bool(self._kept)

    def _failed(self, error: Any, now_s: float) -> None:
        code = self._codes.get(error.value, "")
        self.why, self._running = str(error), False
        self.mismatch = code == "LIB_RM_VERSION_MISMATCH"
        self._try_again_s = None if code == "LIBRARY_NOT_FOUND" else now_s + RETRY_S

    def _find(self) -> None:
        """Handles of every GPU that answers; one that is lost keeps the handle it had."""
        nvml = self._nvml
        self.version, self._module_version = _text(nvml.nvmlSystemGetDriverVersion()), self._module()
        before, self._kept = self._kept, {}
        fast = fast_queries(nvml)
        self._slow = (*SLOW, links_query(nvml))
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            except nvml.NVMLError:
                continue  # known from before or not, it is missing now: see `missing`
            self._kept[uuid] = _Kept(handle, fast, fast.all)
        for uuid, kept in before.items():
            if uuid not in self._kept and kept.lost:
                self._kept[uuid] = kept
        self._seen |= set(self._kept)
        self._slow_at_s = 0.0
        self._listen()

    def stop(self) -> None:
        """Give the library back; while the other thread waits in it, that one does so after its wait."""
        with self._use:
            if self._running:
                self._running, self._ended = False, True
                if not self._waits:
                    self._nvml.nvmlShutdown()

    def _module(self) -> str:
        """Nothing is kept open of a module that may be unloaded."""
        try:
            descriptor = os.open(self._version_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            return os.read(descriptor, VERSION_MAX_BYTES).decode("ascii", "replace").strip()
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    @property
    def uuids(self) -> tuple[str, ...]:
        """Of every GPU, in the driver's order."""
        return tuple(self._kept)

    # -- looks -----------------------------------------------------------------------------------------------

    def sample(self, now_s: float = 0.0) -> dict[str, Figures]:
        """UUID -> figures, now, in dictionaries of this look alone. A lost GPU has `lost`; without a driver: none."""
        if not self._running:
            if self._nvml is None or self._try_again_s is None or now_s < self._try_again_s:
                return {}
            if not self.start(now_s):
                return {}
        slow = now_s >= self._slow_at_s
        if slow:
            self._slow_at_s = now_s + self._slow_s
            self.mismatch = self.mismatch or self._module() != self._module_version
        return {uuid: self._one(kept, now_s, slow=slow) for uuid, kept in list(self._kept.items()) if self._running}

    def driver(self) -> Figures | None:
        """Figures of the driver; None where there never was one."""
        if not self._seen and not self.mismatch:
            return None
        missing = len(self._seen - set(self._kept)) if self._running else None
        return {"version": self.version, "mismatch": int(self.mismatch), "gpus_missing": missing}

    def _one(self, kept: _Kept, now_s: float, *, slow: bool) -> Figures:
        if kept.lost and now_s < kept.ask_again_s:
            return {**kept.once, "lost": 1}
        was_lost, kept.lost = kept.lost, False
        if kept.asks_once:
            kept.asks_once = False
            self._ask(kept, ONCE, kept.once, now_s)
        if slow and not kept.lost:
            kept.base = {**kept.once, "lost": 0}  # what does not come now is not known, rather than old
            self._ask(kept, self._slow, kept.base, now_s)
        found = kept.base.copy()
        if not kept.lost:
            self._ask_fast(kept, found, now_s)
        if kept.lost:
            return {**kept.once, "lost": 1}
        if was_lost:
            self._listens_anew = True  # it is back, and its events with it
        if (
            kept.unsupported.get("memory") == NOT_SUPPORTED
            and "memory_total_bytes" not in found
            and not found.get("mig")
        ):
            found["unified"] = True
        return found

    def _ask(self, kept: _Kept, queries: tuple[Query, ...], into: Figures, now_s: float) -> None:
        """Some questions, until the GPU is found lost; what it cannot answer is not asked again."""
        nvml, handle, unsupported = self._nvml, kept.handle, kept.unsupported
        for query in queries:
            if query.name in unsupported:
                continue
            try:
                into.update(query.ask(nvml, handle))
            except nvml.NVMLError as error:
                self._refused(kept, query.name, error.value, now_s)
                if kept.lost or not self._running:
                    return
            except nvml.NVMLLibraryMismatchError:  # how pynvml says that a driver is too old for one question
                unsupported[query.name] = "FUNCTION_NOT_FOUND"

    def _ask_fast(self, kept: _Kept, into: Figures, now_s: float) -> None:
        """The same of what is asked each second."""
        handle, fast, bad = kept.handle, kept.fast, set[str]()
        for query in fast:
            code = query.call(handle, *query.arguments)
            if code:
                bad.add(query.name)
                self._refused(kept, query.name, code, now_s)
                if kept.lost or not self._running:
                    return
        if not bad and fast is kept.queries.all:
            kept.queries.read(into)
            return
        answers: Figures = {}
        kept.queries.read(answers)  # of what was not answered it has another GPU's
        into.update((name, answers[name]) for query in fast if query.name not in bad for name in query.figures)

    def _refused(self, kept: _Kept, name: str, number: int, now_s: float) -> None:
        code = self._codes.get(number, "")
        if code in FOREVER:
            kept.unsupported[name] = code
            kept.fast = tuple(query for query in kept.fast if query.name != name)
        elif code in GONE:
            kept.lost, kept.ask_again_s = True, now_s + RETRY_S
        elif code in UNLOADED:
            self._failed(self._nvml.NVMLError(number), now_s)

    # -- events ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Events of every GPU that has them; asked for more than it has, a GPU would refuse all."""
        nvml = self._nvml
        self._listens_anew = False
        self._events = nvml.nvmlEventSetCreate()
        self._event, self._wait = nvml.c_nvmlEventData_t(), function_of(nvml.nvmlLib, *WAITS)
        for kept in list(self._kept.values()):
            try:
                if nvml.nvmlDeviceGetSupportedEventTypes(kept.handle) & XID_EVENT:
                    nvml.nvmlDeviceRegisterEvents(kept.handle, XID_EVENT, self._events)
            except nvml.NVMLError:
                continue

    def wait_event(self, timeout_s: float) -> tuple[str, int] | None:
        """The next (UUID, Xid) within the time, in a thread of its own; None when there was none.

        Without a driver it returns at once, and so it does when a GPU is lost, since then no wait for its set ends
        well: a set of those that are left is made. Where the wait itself failed `deaf` is set, and the caller waits.
        """
        with self._use:
            if not self._running or self._events is None:
                return None
            self._waits = True
        event = self._event
        try:
            if self._listens_anew:
                self._heard_anew()
            code = self._wait(self._events, ctypes.byref(event), ctypes.c_uint(int(timeout_s * 1000)))
        finally:
            with self._use:
                self._waits = False
                if self._ended:
                    self._ended = False
                    self._nvml.nvmlShutdown()
        self.deaf = code not in {0, TIMED_OUT}
        if self.deaf:
            self._listens_anew = self._codes.get(code, "") in GONE
        return None if code else self._told(event)

    def _heard_anew(self) -> None:
        """Without those that are lost, or with one that is back."""
        with contextlib.suppress(self._nvml.NVMLError):
            before = self._events
            self._listen()
            self._nvml.nvmlEventSetFree(before)

    def _told(self, event: Any) -> tuple[str, int] | None:
        """Whose event it is; None of one that is the machine's, or of another kind."""
        if not event.device or event.eventType != XID_EVENT:
            return None
        by_address = {_address(kept.handle): uuid for uuid, kept in list(self._kept.items())}
        uuid = by_address.get(_address(event.device))  # asked for its UUID, a GPU that fell off the bus says nothing
        return None if uuid is None else (uuid, int(event.eventData))

    @property
    def never(self) -> bool:
        """Whether this machine has no such library at all, so that there is nothing to wait for."""
        return self._try_again_s is None

    @property
    def running(self) -> bool:
        """Whether there is a driver that answers."""
        return self._running


def uuids_within(timeout_s: float) -> tuple[str, ...]:
    """Every GPU of this machine, in the driver's order; none when the driver does not answer in time."""
    found: list[str] = []

    def ask() -> None:
        gpus = Gpus()
        gpus.start()
        found.extend(gpus.uuids)
        gpus.stop()

    thread = threading.Thread(target=ask, name="gpus at start", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return tuple(found)


def _error_names(nvml: Any) -> tuple[str, ...]:
    return tuple(name for name in dir(nvml) if name.startswith("NVML_ERROR_"))


def _address(handle: Any) -> int:
    return ctypes.addressof(handle.contents)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
