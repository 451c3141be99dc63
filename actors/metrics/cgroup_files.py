"""What each file of a control group says, put among the figures of its container. Pure.

What is weighed, spent and killed is read at each look; what seldom changes, or is dear to ask, at every third one.
Formats: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .procfs import number_after, pressure_of

NANO = 1_000_000_000
MICRO = 1_000_000
UNLIMITED = 1 << 60
"""Version 1 says so of a group without a limit: a number of pages near 2**63."""

Figures = dict[str, Any]
Put = Callable[[Figures, bytes], None]
"""Puts what a text says among the figures; ValueError when it is no such text."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a hierarchy."""

    name: str
    put: Put
    slow: bool = False


def _cpu_v1(figures: Figures, text: bytes) -> None:
    figures["cpu_s_total"] = int(text) / NANO


def _throttled_v1(figures: Figures, text: bytes) -> None:
    _put(figures, "throttled_s_total", number_after(text, b"throttled_time "), NANO)


def _cpu_v2(figures: Figures, text: bytes) -> None:
    _put(figures, "cpu_s_total", number_after(text, b"usage_usec "), MICRO)
    _put(figures, "throttled_s_total", number_after(text, b"throttled_usec "), MICRO)


def _memory(figures: Figures, text: bytes) -> None:
    figures["memory_bytes"] = int(text)


def _limit(figures: Figures, text: bytes) -> None:
    if text != b"max\n":
        limit = int(text)
        if limit < UNLIMITED:
            figures["memory_limit_bytes"] = limit


def _kills_v1(figures: Figures, text: bytes) -> None:
    _put(figures, "oom_kills", number_after(text, b"oom_kill "))


def _kills_v2(figures: Figures, text: bytes) -> None:
    _put(figures, "oom_kills", number_after(text, b"\noom_kill "))


def _processes(figures: Figures, text: bytes) -> None:
    figures["processes"] = int(text)


def _flow_v1(figures: Figures, text: bytes) -> None:
    figures["read_bytes_total"] = _sum_after(text, b" Read ", b"\n")
    figures["written_bytes_total"] = _sum_after(text, b" Write ", b"\n")


def _flow_v2(figures: Figures, text: bytes) -> None:
    figures["read_bytes_total"] = _sum_after(text, b" rbytes=", b" ")
    figures["written_bytes_total"] = _sum_after(text, b" wbytes=", b" ")


def _pressure(figures: Figures, text: bytes) -> None:
    pressure_of(figures, text, "pressure.memory.some", "pressure.memory.full")


SOURCES = {
    "": (
        Source("cpu.stat", _cpu_v2),
        Source("memory.current", _memory),
        Source("memory.events", _kills_v2),
        Source("io.stat", _flow_v2),
        Source("memory.max", _limit, slow=True),
        Source("pids.current", _processes, slow=True),
        Source("memory.pressure", _pressure, slow=True),
    ),
    "cpuacct": (Source("cpuacct.usage", _cpu_v1),),
    "cpu": (Source("cpu.stat", _throttled_v1, slow=True),),
    "memory": (
        Source("memory.usage_in_bytes", _memory),
        Source("memory.oom_control", _kills_v1),
        Source("memory.limit_in_bytes", _limit, slow=True),
    ),
    "pids": (Source("pids.current", _processes, slow=True),),
    "blkio": (Source("blkio.throttle.io_service_bytes", _flow_v1),),
}
"""Hierarchy -> what is read of a group in it; "" is version 2, and then the only one."""
CACHE = {"": b"\ninactive_file ", "memory": b"\ntotal_inactive_file "}
"""Hierarchy -> the row of `memory.stat` with the cache that the kernel may drop."""


def _put(figures: Figures, name: str, value: int | None, per: int | None = None) -> None:
    if value is not None:
        figures[name] = value if per is None else value / per


def _sum_after(text: bytes, name: bytes, end: bytes) -> int:
    """Sum of the numbers behind each `name`: one for each device."""
    total, at = 0, text.find(name)
    while at >= 0:
        start = at + len(name)
        stop = text.find(end, start)
        total += int(text[start : stop if stop >= 0 else None])
        at = text.find(name, start)
    return total
