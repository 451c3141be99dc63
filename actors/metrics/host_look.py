"""One look at the host: what is cheap each second, and what is dearer or slower to change."""

from collections.abc import Callable
from operator import sub
from typing import Any

from . import procfs
from .traffic import Cards, Disks, Paces

Figures = dict[str, Any]
SLOW_LOOKS = 3
"""Pressure of processors and disks is read at every so many looks: it tells of a minute."""
KILL_LOOKS = 6
"""The kernel's kills are counted at every so many looks, and at once when a task waited for memory."""
PRESSURE = tuple((f"/proc/pressure/{what}", f"pressure.{what}.some", f"pressure.{what}.full") for what in ("cpu", "io"))
MEMORY_PRESSURE = ("/proc/pressure/memory", "pressure.memory.some", "pressure.memory.full")


class HostLook:
    """Keeps what shares and rates need between two looks; one thread calls it."""

    def __init__(self, kept: procfs.Kept, clock: Callable[[], float]) -> None:
        self._kept, self._clock = kept, clock
        self._before: procfs.Processors | None = None
        self._cards, self._disks = Cards(), Disks()
        self._card_paces = Paces("net.received_bytes", "net.sent_bytes")
        self._disk_paces = Paces("disk.read_bytes", "disk.written_bytes")
        self._oom_kills = procfs.OomKills()
        self._kills: int | None = None
        self._waited = b""
        self._lasting: Figures = {}
        """What the last slow look said."""
        self._looks = 0

    def now(self) -> Figures:
        """Processors and memory."""
        figures = procfs.read_memory(self._kept)
        now = procfs.read_processors(self._kept)
        before, self._before = self._before, now
        if now is not None:
            figures["cpu_s_total"] = now.busy_s
            if now.tasks_running is not None:
                figures["tasks_running"] = now.tasks_running
            if now.tasks_blocked is not None:
                figures["tasks_blocked"] = now.tasks_blocked
            if before is not None:
                _put_shares(figures, before, now)
        return figures

    def flow(self) -> Figures:
        """Load, pressure, network, disks and the kernel's kills, with rates.

        The kernel itself reckons loads anew every 5 s.
        """
        kept, figures, now_s = self._kept, Figures(), self._clock()
        cards = self._cards.read(kept)
        if cards is not None:
            self._card_paces.put(figures, now_s, self._cards.known, (cards.received_bytes, cards.sent_bytes))
            figures["net.faults_total"] = cards.faults
        disks = self._disks.read(kept)
        if disks is not None:
            self._disk_paces.put(figures, now_s, self._disks.known, disks)
        loads = procfs.read_loads(kept)
        if loads is not None:
            figures["load1"], figures["load5"], figures["load15"] = loads
        if self._looks % SLOW_LOOKS == 0:
            self._lasting = {}
            for path, some, full in PRESSURE:
                procfs.pressure_of(self._lasting, kept.raw(path), some, full)
        figures.update(self._lasting)
        self._see_memory_wait(figures)
        self._looks += 1
        return figures

    def _see_memory_wait(self, figures: Figures) -> None:
        """Pressure of memory and the kernel's kills: it kills only after a task has waited for memory to be freed.

        Only a kill that an administrator asks for comes without that, and is counted some looks later.
        """
        path, some, full = MEMORY_PRESSURE
        text = self._kept.raw(path) or b""
        procfs.pressure_of(figures, text, some, full)
        waited = text[text.find(b"total=") : text.find(b"\n")]
        if not waited or waited != self._waited or self._looks % KILL_LOOKS == 0:
            self._waited = waited
            self._kills = self._oom_kills.read(self._kept)
        if self._kills is not None:
            figures["oom_kills"] = self._kills


def _put_shares(figures: Figures, before: procfs.Processors, now: procfs.Processors) -> None:
    """What the processors did between two looks; a count that went back, as idle ones do at times, stood still."""
    steps = tuple(map(sub, now.ticks, before.ticks))
    if min(steps) < 0:
        steps = tuple(max(0, step) for step in steps)
    total = sum(steps)
    if total:
        user, system, _, iowait, steal = steps
        figures["cpu.busy"] = round((user + system + steal) / total, 4)
        figures["cpu.user"] = round(user / total, 4)
        figures["cpu.system"] = round(system / total, 4)
        figures["cpu.iowait"] = round(iowait / total, 4)
        figures["cpu.steal"] = round(steal / total, 4)
