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
    """One question: `call(handle, *arguments)` gives the library's code; on 0 `read` adds the answer to the figures."""

    name: str
    call: Callable[..., int]
    arguments: tuple[Any, ...]
    read: Callable[[Figures], None]


def fast_queries(nvml: Any) -> tuple[FastQuery, ...]:
    """Every question of each second, for all GPUs and one thread; the library is started."""
    library = nvml.nvmlLib
    return (
        _memory(nvml, library),
        _load(nvml, library),
        _temperature(nvml, library),
        _number(library, "power", "nvmlDeviceGetPowerUsage", "power_w", (), 0.001),
        _reasons(library),
    )


def function_of(library: Any, *names: str) -> Callable[..., int]:
    """The first that the driver has; its types stay ours, since it is not the object that pynvml calls."""
    found: list[Callable[..., int]] = []
    for name in names:
        with contextlib.suppress(AttributeError):
            found.append(library[name])
    if len(found) == 1:
        return found[0]

    def call(*arguments: Any) -> int:
        return next((code for one in found if (code := one(*arguments)) != MISSING), MISSING)

    return call


def _memory(nvml: Any, library: Any) -> FastQuery:
    answer = nvml.c_nvmlMemory_t()

    def read(into: Figures) -> None:
        into["memory_total_bytes"], into["memory_used_bytes"] = answer.total, answer.used

    return FastQuery("memory", function_of(library, "nvmlDeviceGetMemoryInfo"), (ctypes.byref(answer),), read)


def _load(nvml: Any, library: Any) -> FastQuery:
    answer = nvml.c_nvmlUtilization_t()

    def read(into: Figures) -> None:
        into["utilization"], into["memory_utilization"] = answer.gpu / 100, answer.memory / 100

    return FastQuery("load", function_of(library, "nvmlDeviceGetUtilizationRates"), (ctypes.byref(answer),), read)


def _temperature(nvml: Any, library: Any) -> FastQuery:
    """By the name that every driver until CUDA 13 has; a later one has only the versioned one."""
    try:
        library["nvmlDeviceGetTemperature"]
    except AttributeError:
        return _temperature_v(nvml, library)
    return _number(library, "temperature", "nvmlDeviceGetTemperature", "temperature_c", (ctypes.c_uint(GPU_SENSOR),))


def _temperature_v(nvml: Any, library: Any) -> FastQuery:
    answer = nvml.c_nvmlTemperature_v1_t()
    answer.version, answer.sensorType = nvml.nvmlTemperature_v1, GPU_SENSOR

    def read(into: Figures) -> None:
        into["temperature_c"] = answer.temperature

    return FastQuery("temperature", function_of(library, "nvmlDeviceGetTemperatureV"), (ctypes.byref(answer),), read)


def _number(
    library: Any,
    name: str,
    symbol: str,
    figure: str,
    between: tuple[Any, ...] = (),
    scale: float | None = None,
) -> FastQuery:
    answer = ctypes.c_uint()

    def read(into: Figures) -> None:
        into[figure] = answer.value if scale is None else answer.value * scale

    return FastQuery(name, function_of(library, symbol), (*between, ctypes.byref(answer)), read)


def _reasons(library: Any) -> FastQuery:
    """Drivers before 535 have the older name only."""
    answer = ctypes.c_ulonglong()

    def read(into: Figures) -> None:
        bits = answer.value
        into["throttle_thermal"] = bits & THERMAL_BITS != 0
        into["throttle_brake"] = bits & BRAKE_BIT != 0
        into["throttle_power_cap"] = bits & CAP_BIT != 0

    function = function_of(
        library, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
    )
    return FastQuery("reasons", function, (ctypes.byref(answer),), read)
