"""The one home of psutil: what the machine has, asked once."""

import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

from .disks_look import file_system

Value = str | int | float | bool | None


def inventory(directories: Sequence[Path]) -> dict[str, Value]:
    """CPU, memory, disks and system, for the master."""
    memory = psutil.virtual_memory()
    facts: dict[str, Value] = {
        "host.name": socket.gethostname()[:255],
        "host.system": f"{platform.system()} {platform.release()}"[:255],
        "host.machine": platform.machine(),
        "cpu.count": os.cpu_count(),
        "cpu.physical": psutil.cpu_count(logical=False),
        "cpu.model": _cpu_model()[:255],
        "memory.total_bytes": memory.total,
        "swap.total_bytes": psutil.swap_memory().total,
        "host.boot_at": int(psutil.boot_time()),
    }
    for directory in directories:
        for name, value in (file_system(directory) or {}).items():
            if name.endswith("_bytes"):
                facts[f"disk.{directory}.{name}"] = value
    return facts


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
