"""The one home of psutil: what the machine has (inventory), and what is asked rarely."""

import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

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
        for name, value in (disk(directory) or {}).items():
            if name.endswith("_bytes"):
                facts[f"disk.{directory}.{name}"] = value
    return facts


def disk(directory: Path) -> dict[str, int | float | None] | None:
    """The file system of a directory, or of its nearest parent that is there; free is what we may use, as df has it."""
    for candidate in (directory, *directory.parents):
        if candidate.exists():
            found = os.statvfs(candidate)
            free, used = found.f_bavail * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize
            return {
                "total_bytes": found.f_blocks * found.f_frsize,
                "free_bytes": free,
                "used_share": used / (used + free) if used + free else None,
                "inodes_used_share": 1 - found.f_favail / found.f_files if found.f_files else None,
            }
    return None


def own_process() -> dict[str, int | float]:
    """Memory, threads and processor time of this daemon."""
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        return {
            "rss_bytes": process.memory_info().rss,
            "threads": process.num_threads(),
            "cpu_s": times.user + times.system,
        }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
