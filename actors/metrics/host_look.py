"""One look at the host: what is cheap each second, and what is dearer or slower to change."""

from collections.abc import Callable
from operator import sub
from typing import Any

from . import procfs
from .traffic import Cards, Disks, Paces

Figures = dict[str, Any]
KILL_LOOKS = 3
"""The kernel's kills are counted at every so many looks, and at once when a task waited for memory."""
OF_MEMORY = {
    "total": "memory.total_bytes",
    "available": "memory.available_bytes",
    "free": "memory.free_bytes",
    "cached": "memory.cached_bytes",
    "swap_total": "memory.swap_total_bytes",
    "swap_free": "memory.swap_free_bytes",
}
PRESSURE = tuple(
    (f"/proc/pressure/{what}", f"pressure.{what}.some", f"pressure.{what}.full") for what in ("cpu", "memory", "io")
)


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
        self._kills_in = 0
        self._waited = b""

    def now(self) -> Figures:
        """Processors and memory."""
        figures: Figures = {}
        for name, value in procfs.read_memory(self._kept).items():
            figures[OF_MEMORY[name]] = value
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

        The kernel itself reckons loads anew every 5 s and pressure every 2 s, and both tell of a minute and more.
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
        for path, some, full in PRESSURE:
            text = kept.raw(path)
            procfs.pressure_of(figures, text, some, full)
            if path == "/proc/pressure/memory":
                self._see_kills(figures, text)
        return figures

    def _see_kills(self, figures: Figures, pressure: bytes | None) -> None:
        """Before it kills, the kernel tries to free memory, and who waits for that is in the pressure's total.

        A kill that an administrator asks for comes without, and is counted some looks later.
        """
        text = pressure or b""
        waited = text[text.find(b"total=") : text.find(b"\n")]
        self._kills_in -= 1
        if not waited or waited != self._waited or self._kills_in < 0:
            self._waited, self._kills_in = waited, KILL_LOOKS - 1
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
