"""What is asked of every NVIDIA GPU each second, prepared: the library's own functions, answered into kept memory.

A call of the vendor's Python costs three times what the library's does, most of it for looking the function up and for
memory of its own. All GPUs are answered into the same memory: after a second's sleep little of it is in the processor's
caches, and what is there once is fetched once. The types are the vendor's; the signatures are those of the public
header nvml.h.
"""

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .gpu_queries import BRAKE_BIT, CAP_BIT, GPU_SENSOR, THERMAL_BITS, Figures

MISSING = 13
"""NVML_ERROR_FUNCTION_NOT_FOUND: of a symbol that this driver's library does not have."""


@dataclass(frozen=True, slots=True)
class FastQuery:
    """One question: `call(handle, *arguments)` gives the library's code; on 0 its figures are there to be read."""

    name: str
    call: Callable[..., int]
    arguments: tuple[Any, ...]
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FastQueries:
    """All of them; `read` adds what was answered last to the figures: call it before another GPU is asked."""

    all: tuple[FastQuery, ...]
    read: Callable[[Figures], None]


def fast_queries(nvml: Any) -> FastQueries:
    """Every question of each second, for all GPUs and one thread; the library is started."""
    library = nvml.nvmlLib
    memory, load = nvml.c_nvmlMemory_t(), nvml.c_nvmlUtilization_t()
    total, used = number_of(memory, "total", ctypes.c_ulonglong), number_of(memory, "used", ctypes.c_ulonglong)
    busy, memory_busy = number_of(load, "gpu", ctypes.c_uint), number_of(load, "memory", ctypes.c_uint)
    power, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
    symbol, between, warmth, temperature = _temperature(nvml, library)
    events = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")

    def read(into: Figures) -> None:
        """In one call: five a GPU and second are dearer than what they do."""
        into["memory_total_bytes"], into["memory_used_bytes"] = total.value, used.value
        into["utilization"], into["memory_utilization"] = busy.value / 100, memory_busy.value / 100
        into["temperature_c"], into["power_w"] = temperature.value, power.value * 0.001
        bits = reasons.value
        into["throttle_thermal"] = bits & THERMAL_BITS != 0
        into["throttle_brake"] = bits & BRAKE_BIT != 0
        into["throttle_power_cap"] = bits & CAP_BIT != 0

    def query(
        name: str, symbols: tuple[str, ...], answer: Any, *figures: str, before: tuple[Any, ...] = ()
    ) -> FastQuery:
        return FastQuery(name, function_of(library, *symbols), (*before, ctypes.byref(answer)), figures)

    return FastQueries(
        (
            query("memory", ("nvmlDeviceGetMemoryInfo",), memory, "memory_total_bytes", "memory_used_bytes"),
            query("load", ("nvmlDeviceGetUtilizationRates",), load, "utilization", "memory_utilization"),
            query("temperature", (symbol,), warmth, "temperature_c", before=between),
            query("power", ("nvmlDeviceGetPowerUsage",), power, "power_w"),
            # Drivers before 535 have the older name only.
            query("reasons", events, reasons, "throttle_thermal", "throttle_brake", "throttle_power_cap"),
        ),
        read,
    )


def number_of(answer: Any, field: str, kind: Any) -> Any:
    """One field as a number over the same memory: the vendor's structures run Python for each field that is read."""
    return kind.from_buffer(answer, getattr(type(answer), field).offset)


def function_of(library: Any, *names: str) -> Callable[..., int]:
    """The first that the driver has; its types stay ours, since it is not the object that pynvml calls.

    A symbol may be there and say that the driver does not have it: then the next is called, from then on.
    """
    found: list[Callable[..., int]] = []
    for name in names:
        with contextlib.suppress(AttributeError):
            found.append(library[name])
    if len(found) == 1:
        return found[0]

    def call(*arguments: Any) -> int:
        while found:
            code = found[0](*arguments)
            if code != MISSING:
                return code
            del found[0]
        return MISSING

    return call


def _temperature(nvml: Any, library: Any) -> tuple[str, tuple[Any, ...], Any, Any]:
    """Symbol, arguments before the answer, the answer, and its number.

    By the name that every driver until CUDA 13 has; a later one has only the versioned one.
    """
    try:
        library["nvmlDeviceGetTemperature"]
    except AttributeError:
        answer = nvml.c_nvmlTemperature_v1_t()
        answer.version, answer.sensorType = nvml.nvmlTemperature_v1, GPU_SENSOR
        return "nvmlDeviceGetTemperatureV", (), answer, number_of(answer, "temperature", ctypes.c_int)
    number_alone = ctypes.c_uint()
    return "nvmlDeviceGetTemperature", (ctypes.c_uint(GPU_SENSOR),), number_alone, number_alone
