"""The host's hot figures from /proc, kept open and read as bytes: a tenth of what a library takes.

Formats: proc(5), and the kernel's Documentation/accounting/psi.rst.
"""

import os
import re
from typing import Any, NamedTuple

READ_BYTES = 4_096
MORE_BYTES = 1 << 16
READ_MAX_BYTES = 1 << 22
WHOLE_BYTES = 3_072
"""A text below this is whole: of a list the kernel gives a page at a time, but for a row that does not fit any more."""
AROUND_BYTES = 256
OOM_KILL = b"\noom_kill "
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024
MEMORY = {
    b"MemTotal:": "memory.total_bytes",
    b"\nMemFree:": "memory.free_bytes",
    b"\nMemAvailable:": "memory.available_bytes",
    b"\nCached:": "memory.cached_bytes",
    b"\nSwapTotal:": "memory.swap_total_bytes",
    b"\nSwapFree:": "memory.swap_free_bytes",
}
USUAL = re.compile(
    rb"MemTotal: +(\d+) kB\nMemFree: +(\d+) kB\nMemAvailable: +(\d+) kB\nBuffers: +\d+ kB\nCached: +(\d+) kB\n"
)
USUAL_SWAP = re.compile(rb"\nSwapTotal: +(\d+) kB\nSwapFree: +(\d+) kB\n")
"""How every kernel of today orders them; found twice as fast as one by one."""

SHARES = re.compile(rb"some avg10=\S+ avg60=(\d+)\.(\d\d) [^\n]*(?:\nfull avg10=\S+ avg60=(\d+)\.(\d\d) )?")
"""Percents with two digits behind the point."""


def read_on(descriptor: int, text: bytes) -> bytes:
    """All of a text of which `text` is the beginning."""
    pieces, size = [text], len(text)
    while size < READ_MAX_BYTES and (more := os.pread(descriptor, MORE_BYTES, size)):
        pieces.append(more)
        size += len(more)
    return b"".join(pieces)


class Kept:
    """Files that are read again and again by one thread."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def raw(self, path: str) -> bytes | None:
        """The whole text now, or None when there is no such file."""
        try:
            descriptor = self._open.get(path) or self.descriptor(path)
            text = os.pread(descriptor, READ_BYTES, 0)
            return text if len(text) < WHOLE_BYTES else read_on(descriptor, text)
        except OSError:
            self.forget(path)
            return None

    def part(self, path: str, begin: int, size: int) -> bytes | None:
        """So many bytes of the text now, or fewer; None when there is no such file."""
        try:
            return os.pread(self.descriptor(path), size, begin)
        except OSError:
            self.forget(path)
            return None

    def read(self, path: str) -> str | None:
        """The same as text."""
        raw = self.raw(path)
        return None if raw is None else raw.decode(errors="replace")

    def descriptor(self, path: str) -> int:
        """Of the file, which stays open until it is forgotten; OSError when there is none."""
        descriptor = self._open.get(path)
        if descriptor is None:
            descriptor = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor

    def forget(self, path: str) -> None:
        """Close one file."""
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def forget_below(self, folder: str) -> None:
        """Close every file of a folder."""
        for path in [path for path in self._open if path.startswith(f"{folder}/")]:
            self.forget(path)

    def close(self) -> None:
        """Close all of them."""
        for path in list(self._open):
            self.forget(path)


class Processors(NamedTuple):
    """What the processors did since the boot, over all of them."""

    ticks: tuple[int, int, int, int, int]
    """As user (what is niced too), system (interrupts too), idle, waiting for a disk, stolen; of the kernel's clock."""
    tasks_running: int | None
    tasks_blocked: int | None
    """In a call that cannot be broken off: a disk or a driver that does not answer."""

    @property
    def busy_s(self) -> float:
        """Processor time in use."""
        user, system, _, _, steal = self.ticks
        return (user + system + steal) / TICKS


def read_processors(kept: Kept) -> Processors | None:
    """The first line of /proc/stat and its counts of tasks; None when /proc is not there."""
    stat = kept.raw("/proc/stat")
    if stat is None:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, stat.split(None, 9)[1:9])
    ticks = (user + nice, system + irq + softirq, idle, iowait, steal)
    tasks = stat[stat.rfind(b"\nprocs_running ") + 1 :].split(None, 4)  # of the last lines; one before them is long
    known = tasks[0] == b"procs_running" and tasks[2] == b"procs_blocked"
    return Processors(ticks, int(tasks[1]), int(tasks[3])) if known else Processors(ticks, None, None)


def number_after(text: bytes, name: bytes) -> int | None:
    """The whole number behind the first `name`, to the end of its line; None when there is none."""
    at = text.find(name)
    if at < 0:
        return None
    start = at + len(name)
    end = text.find(b"\n", start)
    word = text[start : end if end >= 0 else None]
    return int(word) if word.isdigit() else None


def read_memory(kept: Kept) -> dict[str, Any]:
    """`memory.total_bytes` and so on; a dictionary of the caller's own."""
    text = kept.raw("/proc/meminfo") or b""
    first, swap = USUAL.match(text), USUAL_SWAP.search(text)
    if first is None or swap is None:
        return _memory_one_by_one(text)
    total, free, available, cached = first.groups()
    swap_total, swap_free = swap.groups()
    return {
        "memory.total_bytes": int(total) * KIB,
        "memory.free_bytes": int(free) * KIB,
        "memory.available_bytes": int(available) * KIB,
        "memory.cached_bytes": int(cached) * KIB,
        "memory.swap_total_bytes": int(swap_total) * KIB,
        "memory.swap_free_bytes": int(swap_free) * KIB,
    }


def _memory_one_by_one(text: bytes) -> dict[str, Any]:
    """In whatever order, and whichever of them there are."""
    found: dict[str, Any] = {}
    for word, name in MEMORY.items():
        at = text.find(word)
        if at >= 0:
            start = at + len(word)
            found[name] = int(text[start : text.index(b"kB", start)]) * KIB
    return found


class OomKills:
    """Processes of the whole machine that the kernel has killed for memory since the boot.

    The kernel writes only as many rows of /proc/vmstat as are asked for, so it is read around where the row was.
    """

    def __init__(self) -> None:
        self._near = 0

    def read(self, kept: Kept) -> int | None:
        """The count now; None where the kernel has none."""
        text = kept.part("/proc/vmstat", self._near, AROUND_BYTES) or b""
        at = text.find(OOM_KILL)
        if at < 0 or text.find(b"\n", at + 1) < 0:  # it moved
            text = kept.raw("/proc/vmstat") or b""
            self._near = max(0, text.find(OOM_KILL) - AROUND_BYTES // 2)
        return number_after(text, OOM_KILL)


def read_loads(kept: Kept) -> tuple[float, float, float] | None:
    """The load over 1, 5 and 15 minutes."""
    text = kept.raw("/proc/loadavg")
    if text is None:
        return None
    one, five, fifteen, _ = text.split(None, 3)
    return float(one), float(five), float(fifteen)


def pressure_of(found: dict[str, Any], text: bytes | None, some: str, full: str) -> None:
    """Put a pressure file's shares of the last 60 s, 0..1, under these names; nothing where the kernel has none."""
    shares = SHARES.match(text or b"")
    if shares is not None:
        some_percent, some_rest, full_percent, full_rest = shares.groups()
        found[some] = int(some_percent + some_rest) / 10_000
        if full_percent is not None:
            found[full] = int(full_percent + full_rest) / 10_000
