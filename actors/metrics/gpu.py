"""The one home of pynvml: NVIDIA GPUs by UUID. Every figure is optional; what is not supported is never 0."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment."""

    uuid: str
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilization: float | None = None
    """0..1"""
    temperature_c: float | None = None
    power_w: float | None = None


class Gpus:
    """All GPUs; one thread calls it. Without a driver there are none, and that is no fault."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}
        self._unsupported: set[tuple[str, str]] = set()
        self.why = ""
        """Why there are none, for people."""

    def start(self) -> bool:
        """Load the driver's library; False when there is nothing to measure."""
        try:
            import pynvml  # noqa: PLC0415  # only where GPUs are measured: 2 MiB, and a library that may be absent

            self._nvml = pynvml
            self._nvml.nvmlInit()
            for index in range(self._nvml.nvmlDeviceGetCount()):
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                self._handles[_text(self._nvml.nvmlDeviceGetUUID(handle))] = handle
        except Exception as error:  # noqa: BLE001  # the library raises a class for each code, and OSError beside
            self.why = str(error)
            return False
        return bool(self._handles)

    def sample(self) -> tuple[Gpu, ...]:
        """Every GPU now; one that is lost is left out."""
        return tuple(found for uuid, handle in self._handles.items() if (found := self._one(uuid, handle)) is not None)

    def _one(self, uuid: str, handle: Any) -> Gpu | None:
        nvml = self._nvml
        name = self._ask(uuid, "name", lambda: nvml.nvmlDeviceGetName(handle))
        memory = self._ask(uuid, "memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        busy = self._ask(uuid, "utilization", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        heat = self._ask(uuid, "temperature", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        power = self._ask(uuid, "power", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return Gpu(
            uuid=uuid,
            name=_text(name) if name is not None else "",
            memory_total_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilization=None if busy is None else busy.gpu / 100,
            temperature_c=None if heat is None else float(heat),
            power_w=None if power is None else power / 1000,
        )

    def _ask(self, uuid: str, what: str, question: Callable[[], Any]) -> Any:
        """One question; what a GPU does not support is not asked again."""
        if (uuid, what) in self._unsupported:
            return None
        try:
            return question()
        except self._nvml.NVMLError as error:
            if error.value in {self._nvml.NVML_ERROR_NOT_SUPPORTED, self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND}:
                self._unsupported.add((uuid, what))
            return None


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
