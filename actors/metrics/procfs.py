"""The host's hot figures from /proc, with descriptors kept open."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

READ_MAX_BYTES = 1 << 18
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024
SECTOR_BYTES = 512


class Kept:
    """Files that are read again and again by one thread."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def read(self, path: str) -> str | None:
        """The whole text now, or None when there is no such file."""
        try:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(descriptor, READ_MAX_BYTES, 0).decode(errors="replace")
        except OSError:
            self.forget(path)
            return None

    def forget(self, path: str) -> None:
        """Close one file."""
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close all of them."""
        for path in list(self._open):
            self.forget(path)


@dataclass(frozen=True, slots=True)
class Counters:
    """What only grows; rates come from two of them. Seconds and bytes."""

    at: float
    busy_s: float
    total_s: float
    received_bytes: int
    sent_bytes: int
    read_bytes: int
    written_bytes: int


def read_counters(kept: Kept, now: float) -> Counters | None:
    """CPU, network and disk counters; None when /proc is not there."""
    stat = kept.read("/proc/stat")
    if stat is None:
        return None
    fields = [int(word) for word in stat.split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    received, sent = _network(kept.read("/proc/net/dev") or "")
    read, written = _disks(kept.read("/proc/diskstats") or "")
    total = sum(fields)
    return Counters(now, (total - idle) / TICKS, total / TICKS, received, sent, read, written)


def _network(text: str) -> tuple[int, int]:
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) >= 9 and name.strip() != "lo":
            received += int(words[0])
            sent += int(words[8])
    return received, sent


def _disks(text: str) -> tuple[int, int]:
    """Whole disks only: a partition's sectors are its disk's too."""
    read = written = 0
    for line in text.splitlines():
        words = line.split()
        if (
            len(words) >= 10
            and os.access(f"/sys/block/{words[2]}", os.F_OK)
            and not words[2].startswith(("loop", "ram", "dm-"))
        ):  # hot path
            read += int(words[5])
            written += int(words[9])
    return read * SECTOR_BYTES, written * SECTOR_BYTES


def read_memory(kept: Kept) -> Mapping[str, int]:
    """Bytes of total, available, swap total and swap free memory."""
    wanted = {"MemTotal": "total", "MemAvailable": "available", "SwapTotal": "swap_total", "SwapFree": "swap_free"}
    found: dict[str, int] = {}
    for line in (kept.read("/proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            found[wanted[name]] = int(rest.split()[0]) * KIB
    return found


def read_oom_kills(kept: Kept) -> int | None:
    """Processes of the whole machine that the kernel has killed for memory since the boot."""
    for line in (kept.read("/proc/vmstat") or "").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


def read_load(kept: Kept) -> float | None:
    """The one-minute load."""
    text = kept.read("/proc/loadavg")
    return None if text is None else float(text.split()[0])


def read_pressure(kept: Kept) -> Iterator[tuple[str, float]]:
    """`cpu.some`, `memory.full` and so on: share of the last 60 s, 0..1; nothing where the kernel has no PSI."""
    for what in ("cpu", "memory", "io"):
        for line in (kept.read(f"/proc/pressure/{what}") or "").splitlines():
            words = line.split()
            shares = dict(word.split("=") for word in words[1:])
            yield f"{what}.{words[0]}", round(float(shares.get("avg60", "0")) / 100, 4)
