"""Figures of processes straight from /proc: memory with shared pages split fairly, and processor time."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pss_mib(pids: Iterable[int]) -> float:
    """Sum of the proportional set sizes in MiB. Raises FileNotFoundError when one has ended."""
    return sum(_rollup_kib(pid, "Pss") for pid in pids) / 1024


def rss_mib(pids: Iterable[int]) -> float:
    """Sum of the resident set sizes in MiB; a page of two processes counts twice."""
    return sum(_rollup_kib(pid, "Rss") for pid in pids) / 1024


def _rollup_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time in seconds used so far by the processes and their waited-for children."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS_PER_S


def tree(pid: int) -> tuple[int, ...]:
    """The process and all its living descendants, the process first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return tuple(found)


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # ended between the listing and the read
        return None
