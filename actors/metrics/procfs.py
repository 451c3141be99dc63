"""The host's hot figures from /proc, kept open and read as bytes: a tenth of what a library takes.

Formats: proc(5), and the kernel's Documentation/admin-guide/iostats.rst and accounting/psi.rst.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

READ_BYTES = 4_096
READ_MAX_BYTES = 1 << 22
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024
SECTOR_BYTES = 512
MICRO = 1_000_000
PRESSURE = ("cpu", "memory", "io")
MEMORY = {
    b"MemTotal:": "total",
    b"\nMemFree:": "free",
    b"\nMemAvailable:": "available",
    b"\nCached:": "cached",
    b"\nSwapTotal:": "swap_total",
    b"\nSwapFree:": "swap_free",
}
NOT_DISKS = (b"loop", b"ram", b"dm-", b"md", b"zram", b"sr", b"fd")
"""Devices that are no disk of their own: what they do is done by another, or by memory."""
NOT_CARDS = ("lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "dummy", "bonding_masters")


class Kept:
    """Files that are read again and again by one thread."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def raw(self, path: str) -> bytes | None:
        """The whole text now, or None when there is no such file."""
        try:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            size = self._sizes.get(path, READ_BYTES)
            text = os.pread(descriptor, size, 0)
            while len(text) == size < READ_MAX_BYTES:  # the kernel writes it anew for each read: begin again
                size = self._sizes[path] = size * 4
                text = os.pread(descriptor, size, 0)
        except OSError:
            self.forget(path)
            return None
        return text

    def read(self, path: str) -> str | None:
        """The same as text."""
        raw = self.raw(path)
        return None if raw is None else raw.decode(errors="replace")

    def forget(self, path: str) -> None:
        """Close one file."""
        descriptor = self._open.pop(path, None)
        self._sizes.pop(path, None)
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


@dataclass(frozen=True, slots=True)
class Processors:
    """What the processors did since the boot, seconds over all of them; `user` has what is niced too."""

    user_s: float
    system_s: float
    idle_s: float
    iowait_s: float
    steal_s: float
    total_s: float
    tasks_running: int
    tasks_blocked: int
    """In a call that cannot be broken off: a disk or a driver that does not answer."""


def read_processors(kept: Kept) -> Processors | None:
    """The first line of /proc/stat and its counts of tasks; None when /proc is not there."""
    stat = kept.raw("/proc/stat")
    if stat is None:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(word) / TICKS for word in stat[: stat.index(b"\n")].split()[1:9]
    )
    total = user + nice + system + idle + iowait + irq + softirq + steal
    running, blocked = number_after(stat, b"\nprocs_running "), number_after(stat, b"\nprocs_blocked ")
    return Processors(
        user + nice, system + irq + softirq, idle, iowait, steal, total, int(running or 0), int(blocked or 0)
    )


def number_after(text: bytes, name: bytes) -> int | None:
    """The whole number behind the first `name`; None when there is none."""
    at = text.find(name)
    if at < 0:
        return None
    start = at + len(name)
    end = text.find(b"\n", start)
    word = text[start : end if end >= 0 else len(text)].strip()
    return int(word) if word.isdigit() else None


def read_memory(kept: Kept) -> Mapping[str, int]:
    """Bytes of `total`, `available`, `free`, `cached`, `swap_total` and `swap_free` memory."""
    text = kept.raw("/proc/meminfo") or b""
    found: dict[str, int] = {}
    for word, name in MEMORY.items():
        at = text.find(word)
        if at >= 0:
            start = at + len(word)
            found[name] = int(text[start : text.index(b"kB", start)]) * KIB
    return found


def read_oom_kills(kept: Kept) -> int | None:
    """Processes of the whole machine that the kernel has killed for memory since the boot."""
    return number_after(kept.raw("/proc/vmstat") or b"", b"\noom_kill ")


def read_loads(kept: Kept) -> tuple[float, float, float] | None:
    """The load over 1, 5 and 15 minutes."""
    text = kept.raw("/proc/loadavg")
    if text is None:
        return None
    one, five, fifteen, _ = text.split(None, 3)
    return float(one), float(five), float(fifteen)


def read_pressure(kept: Kept) -> dict[str, float]:
    """`cpu.some`, `memory.full` and so on: share of the last 60 s, 0..1; nothing where the kernel has no PSI."""
    found: dict[str, float] = {}
    for what in PRESSURE:
        pressure_of(found, kept.raw(f"/proc/pressure/{what}"), f"{what}.")
    return found


def pressure_of(found: dict[str, Any], text: bytes | None, prefix: str) -> None:
    """Put a pressure file's shares of the last 60 s under `prefix`."""
    for line in (text or b"").split(b"\n"):
        at = line.find(b"avg60=")
        if at >= 0:
            found[prefix + line[:4].decode()] = round(float(line[at + 6 : line.index(b" ", at)]) / 100, 4)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes and faults since the boot, over all cards, or over all disks."""

    received_bytes: int = 0
    sent_bytes: int = 0
    faults: int = 0
    """Packets that were damaged or dropped."""


class Cards:
    """Network cards; of a machine without any hardware card, everything that is not virtual by its name."""

    def __init__(self) -> None:
        self._known: dict[bytes, bool] = {}
        self._real = False

    def read(self, kept: Kept) -> Traffic | None:
        """Sums over the cards; traffic of containers passes a card only when it leaves the machine."""
        text = kept.raw("/proc/net/dev")
        if text is None:
            return None
        rows = [line.partition(b":") for line in text.split(b"\n")[2:-1]]
        if any(name.strip() not in self._known for name, _, _ in rows):
            self._look([name.strip() for name, _, _ in rows])
        received = sent = faults = 0
        for name, _, rest in rows:
            if self._known[name.strip()]:
                words = rest.split(None, 12)
                received += int(words[0])
                sent += int(words[8])
                faults += int(words[2]) + int(words[3]) + int(words[10]) + int(words[11])
        return Traffic(received, sent, faults)

    def _look(self, names: list[bytes]) -> None:
        real = {name: os.access(f"/sys/class/net/{name.decode()}/device", os.F_OK) for name in names}
        self._real = any(real.values())
        self._known = real if self._real else {name: not name.decode().startswith(NOT_CARDS) for name in names}


class Disks:
    """Whole disks only: a partition's sectors are its disk's too."""

    def __init__(self) -> None:
        self._known: dict[bytes, bool] = {}

    def read(self, kept: Kept) -> tuple[int, int] | None:
        """Bytes read and written since the boot."""
        text = kept.raw("/proc/diskstats")
        if text is None:
            return None
        read = written = 0
        for line in text.split(b"\n"):
            words = line.split(None, 10)
            if len(words) < 10:
                continue
            whole = self._known.get(words[2])
            if whole is None:
                whole = self._known[words[2]] = _whole(words[2])
            if whole:
                read += int(words[5])
                written += int(words[9])
        return read * SECTOR_BYTES, written * SECTOR_BYTES


def _whole(name: bytes) -> bool:
    return not name.startswith(NOT_DISKS) and os.access(f"/sys/block/{name.decode()}", os.F_OK)
