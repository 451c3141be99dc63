"""One look at the host: what is cheap each second, and what is dearer or slower to change."""

from collections.abc import Callable
from typing import Any

from . import procfs

Figures = dict[str, Any]


class HostLook:
    """Keeps what shares and rates need between two looks; one thread calls it."""

    def __init__(self, kept: procfs.Kept, clock: Callable[[], float]) -> None:
        self._kept, self._clock = kept, clock
        self._before: procfs.Processors | None = None
        self._cards, self._disks = procfs.Cards(), procfs.Disks()
        self._flow: tuple[float, dict[str, int]] | None = None

    def now(self) -> Figures:
        """Processors and memory."""
        kept = self._kept
        figures: Figures = {f"memory.{name}_bytes": value for name, value in procfs.read_memory(kept).items()}
        now = procfs.read_processors(kept)
        before, self._before = self._before, now
        if now is not None:
            figures["cpu_s_total"] = round(now.total_s - now.idle_s - now.iowait_s, 2)
            figures["tasks_running"], figures["tasks_blocked"] = now.tasks_running, now.tasks_blocked
            if before is not None:
                figures |= _shares(before, now)
        return figures

    def flow(self) -> Figures:
        """Load, pressure, network, disks and the kernel's kills, with rates; a counter that fell was begun anew.

        The kernel itself reckons loads anew every 5 s and pressure every 2 s, and both tell of a minute and more.
        """
        counters: dict[str, int] = {}
        cards = self._cards.read(self._kept)
        if cards is not None:
            counters["net.received_bytes"], counters["net.sent_bytes"] = cards.received_bytes, cards.sent_bytes
        disks = self._disks.read(self._kept)
        if disks is not None:
            counters["disk.read_bytes"], counters["disk.written_bytes"] = disks
        figures: Figures = {f"{name}_total": value for name, value in counters.items()}
        if cards is not None:
            figures["net.faults_total"] = cards.faults
        kills = procfs.read_oom_kills(self._kept)
        if kills is not None:
            figures["oom_kills"] = kills
        loads = procfs.read_loads(self._kept)
        if loads is not None:
            figures["load1"], figures["load5"], figures["load15"] = loads
        for name, share in procfs.read_pressure(self._kept).items():
            figures[f"pressure.{name}"] = share
        now_s = self._clock()
        before, self._flow = self._flow, (now_s, counters)
        if before is not None and now_s > before[0]:
            for name, value in counters.items():
                old = before[1].get(name)
                if old is not None and value >= old:
                    figures[f"{name}_per_s"] = round((value - old) / (now_s - before[0]), 1)
        return figures


def _shares(before: procfs.Processors, now: procfs.Processors) -> Figures:
    """What the processors did between two looks; nothing after a step back."""
    total = now.total_s - before.total_s
    if total <= 0:
        return {}

    def share(old: float, new: float) -> float:
        return round(min(1.0, max(0.0, (new - old) / total)), 4)

    return {
        "cpu.busy": round(1.0 - share(before.idle_s + before.iowait_s, now.idle_s + now.iowait_s), 4),
        "cpu.user": share(before.user_s, now.user_s),
        "cpu.system": share(before.system_s, now.system_s),
        "cpu.iowait": share(before.iowait_s, now.iowait_s),
        "cpu.steal": share(before.steal_s, now.steal_s),
    }
