"""What is asked of an NVIDIA GPU once or seldom, and what it is called: data for gpu.py, which owns the library.

What is asked every second is in gpu_fast, what is asked of each link in gpu_links.

A query is a function of the library and a handle that returns figures; what raises has none. Costs of the vendor's
calls differ by three orders of magnitude, and some hold a lock that the engines need: the dear ones are slow ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from .kernel_log import address_of

Figures = dict[str, Any]
KIB = 1024
THERMAL_BITS = 0x20 | 0x40
"""Slowed by software or hardware for heat."""
BRAKE_BIT = 0x80
CAP_BIT = 0x04
GPU_SENSOR = 0
SLOWDOWN_THRESHOLD = 1
CLOCK_SM, CLOCK_MEMORY = 1, 2
VOLATILE = 0
CORRECTED, UNCORRECTABLE = 0, 1


class Pace(IntEnum):
    """How often a query is asked."""

    ONCE = 0
    """It does not change while the driver is loaded."""
    SLOW = 1


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    name: str
    pace: Pace
    ask: Callable[[Any, Any], Figures]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _address(nvml: Any, handle: Any) -> Figures:
    return {"pci_address": address_of(_text(nvml.nvmlDeviceGetPciInfo(handle).busId))}


def _memory(nvml: Any, handle: Any) -> Figures:
    found = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {"memory_total_bytes": int(found.total), "memory_used_bytes": int(found.used)}


def _rows(nvml: Any, handle: Any) -> Figures:
    corrected, uncorrectable, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
    return {
        "remapped_rows": corrected + uncorrectable,
        "remap_pending": int(bool(pending)),
        "remap_failure": int(bool(failed)),
    }


def _link(nvml: Any, handle: Any) -> Figures:
    return {
        "pcie_generation": nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
        "pcie_width": nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
        "pcie_width_max": nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
    }


def _traffic(nvml: Any, handle: Any) -> Figures:
    return {
        "pcie_sent_bytes_per_s": nvml.nvmlDeviceGetPcieThroughput(handle, 0) * KIB,
        "pcie_received_bytes_per_s": nvml.nvmlDeviceGetPcieThroughput(handle, 1) * KIB,
    }


def _processes(nvml: Any, handle: Any) -> Figures:
    """Process id and bytes, None where the driver does not say."""
    found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return {"processes": tuple((int(one.pid), one.usedGpuMemory) for one in found)}


def _mig(nvml: Any, handle: Any) -> Figures:
    """Each slice of a GPU in MIG mode with its memory."""
    if not nvml.nvmlDeviceGetMigMode(handle)[0]:
        return {"mig": None}
    slices: Figures = {}
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError_NotFound:
            continue
        slices[_text(nvml.nvmlDeviceGetUUID(part))] = _memory(nvml, part)
    return {"mig": slices}


def _one(name: str, function: str, *arguments: int, scale: float | None = None) -> Callable[[Any, Any], Figures]:
    """A query of one call and one number."""

    def ask(nvml: Any, handle: Any) -> Figures:
        value = getattr(nvml, function)(handle, *arguments)
        return {name: value if scale is None else value * scale}

    return ask


QUERIES = (
    Query("address", Pace.ONCE, _address),
    Query("name", Pace.ONCE, lambda nvml, handle: {"name": _text(nvml.nvmlDeviceGetName(handle))}),
    Query("slowdown", Pace.ONCE, _one("slowdown_c", "nvmlDeviceGetTemperatureThreshold", SLOWDOWN_THRESHOLD)),
    Query("clock", Pace.SLOW, _one("clock_sm_mhz", "nvmlDeviceGetClockInfo", CLOCK_SM)),
    Query("memory clock", Pace.SLOW, _one("clock_memory_mhz", "nvmlDeviceGetClockInfo", CLOCK_MEMORY)),
    Query("power limit", Pace.SLOW, _one("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", scale=0.001)),
    Query("energy", Pace.SLOW, _one("energy_j_total", "nvmlDeviceGetTotalEnergyConsumption", scale=0.001)),
    Query("fan", Pace.SLOW, _one("fan_share", "nvmlDeviceGetFanSpeed", scale=0.01)),
    Query("corrected", Pace.SLOW, _one("ecc_corrected", "nvmlDeviceGetTotalEccErrors", CORRECTED, VOLATILE)),
    Query(
        "uncorrectable", Pace.SLOW, _one("ecc_uncorrectable", "nvmlDeviceGetTotalEccErrors", UNCORRECTABLE, VOLATILE)
    ),
    Query("rows", Pace.SLOW, _rows),
    Query("link", Pace.SLOW, _link),
    Query("replays", Pace.SLOW, _one("pcie_replays", "nvmlDeviceGetPcieReplayCounter")),
    Query("traffic", Pace.SLOW, _traffic),
    Query("processes", Pace.SLOW, _processes),
    Query("mig", Pace.SLOW, _mig),
)
