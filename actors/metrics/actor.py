"""The metrics sampler: collectors look in threads of their own and show what they saw; this actor owns them, and tells.

It never makes a call that may block, so it always answers; that a driver or a file system hangs is seen from outside,
by the thread that only reads files of the kernel.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from actors.clock import WallClock, milliseconds
from actors.facts import AlertsChanged, EngineFacts, EnginesChanged, LinkChanged
from actors.journal.messages import Volatile
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.flag import Flag
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from config.metrics import MetricsSettings

from .cgroup import Groups
from .collector import Chore, Collected, run
from .disks_look import DisksLook
from .eyes import Eyes, Group
from .gathering import Gathering
from .gpu_watch import GpuWatch
from .gpus_look import GpusLook, rooms
from .procfs import Kept
from .report import Reporter
from .snapshot import Snapshot

WATCH_S = 1.0
"""Between two looks from outside at what may hang, and into the kernel's log."""
DRAIN_S = 0.5
"""Between two helpings of what was kept while there was no master."""
SOCKETS_LEAD_S = 0.08
"""So long before the beat what may take a while looks: what it saw goes with the beat."""
Show = Callable[[tuple[Collected, ...], float], None]
"""Takes what one wake-up saw, and when the next comes."""
GPU = "gpu"
DISKS = "disks"


class _Report:
    """To itself: tell the master."""


class _Drain:
    """To itself: send more of what was kept."""


class _Hangs:
    """To itself: something hangs."""


class SamplerActor(Actor):
    """See the module."""

    def __init__(
        self,
        *,
        settings: MetricsSettings,
        eyes: Eyes,
        link: Handle,
        publish: Callable[[Snapshot], None],
        wall: WallClock,
    ) -> None:
        self._settings, self._eyes = settings, eyes
        self._link, self._publish, self._wall = link, publish, wall
        self._reporter = Reporter(settings.full_report_every, settings.spool_max_bytes)
        self._engines: tuple[EngineFacts, ...] = ()
        self._alerts: tuple[str, ...] = ()
        self._disks: tuple[DisksLook, Flag] | None = None
        self._left_out: set[Path] = set()
        self._gpus: GpuWatch | None = None
        self._drains = False
        self._log = structlog.get_logger().bind(actor="metrics")

    def on_start(self) -> object:
        """Start every collector; the first report comes within an interval, not at one moment everywhere."""
        phase = self.context.rng.random()
        self._beat_s = self.context.now() + phase
        self._gathering = Gathering(self._publish, self.context.now, self.context.lock())
        for group in self._eyes.groups(self._known_engines, self.context.now):
            flag = self.context.flag()
            self.context.task(group.name, self._collect, group, flag, cancel=flag.set)
        self._begin_disks()
        if self._settings.gpu:
            self._begin_gpus()
        self.context.after((0.2 + 0.8 * phase) * self._settings.report_interval_s, _Report())
        return None

    def _known_engines(self) -> tuple[EngineFacts, ...]:
        return self._engines

    def _collect(self, group: Group, flag: Flag) -> None:
        gathering = self._gathering
        try:
            if group.beats:
                around = Chore(WATCH_S, self._look_around)
                run((*group.collectors, around), flag, self._wall, self._saw(gathering.beat), self._beat_s)
            else:
                run(group.collectors, flag, self._wall, self._saw(gathering.put), self._beat_s - SOCKETS_LEAD_S)
        finally:
            group.close()

    def _saw(self, show: Show) -> Show:
        """What a thread shows: with a word of what failed, and with what only the reporter knows."""

        def saw(seen: tuple[Collected, ...], next_s: float) -> None:
            for one in seen:
                if one.error:
                    self._log.warning("collector.failed", collector=one.name, why=one.error)
            show(tuple(self._with_spool(one) if "agent" in one.rooms else one for one in seen), next_s)

        return saw

    def _with_spool(self, seen: Collected) -> Collected:
        agent = {**seen.rooms["agent"], "spool_share": round(self._reporter.spool.share, 3)}
        return replace(seen, rooms={**seen.rooms, "agent": agent})

    def _look_around(self) -> None:
        """In the beat's thread: what may hang, and the kernel's log."""
        disks, gpus = self._disks, self._gpus
        if gpus is not None:
            gpus.read_log()
        if (gpus is not None and gpus.hung) or (disks and disks[0].hung(self._settings.disk_timeout_s) is not None):
            try:
                self.context.handle.tell(_Hangs())
            except SupervisionError as error:
                self._log.warning("not_told", why=str(error))

    # -- what may hang ---------------------------------------------------------------------------------------

    def _begin_disks(self) -> None:
        look, collector = self._eyes.disks(self.context.now, self._left_out)
        flag = self.context.flag()
        self._disks = (look, flag)
        beat_s = self._beat_s - SOCKETS_LEAD_S
        put = self._saw(self._gathering.put)
        self.context.task(DISKS, run, (collector,), flag, self._wall, put, beat_s, cancel=flag.set)

    def _begin_gpus(self) -> None:
        settings, wall, gathering = self._settings, self._wall, self._gathering
        programs = GpusLook(Groups(Kept()))

        def known() -> tuple[Collected, ...]:
            return (Collected(GPU, wall(), settings.gpu_interval_s, watch.took_s, rooms(watch.latest())),)

        drivers = self._eyes.drivers()
        watch = GpuWatch(
            drivers.gpus,
            drivers.amd,
            settings.gpu_interval_s,
            self.context.now,
            on_event=lambda: gathering.now(known()),
            on_look=lambda: gathering.put(known()),
            kernel_log=drivers.kernel_log,
            beat_s=self._beat_s,
            switch=self.context.flag,
            complete=lambda gpus: programs.name_programs(gpus, self._engines),
        )
        self._gpus = watch
        self.context.task(GPU, watch.look_on, cancel=watch.stop)
        self.context.task("gpu events", watch.listen, cancel=watch.stop, lingers=True)

    def _something_hangs(self) -> None:
        if self._disks is not None:
            look, flag = self._disks
            hung = look.hung(self._settings.disk_timeout_s)
            if hung is not None:
                self._log.error("disk.hung", disk=str(hung), do="its file system does not answer: see mount(8), dmesg")
                self._left_out.add(hung)
                flag.set()
                self._begin_disks()
        if self._gpus is not None:
            seen = self._gpus.latest()
            if seen.driver and seen.driver.get("hung"):  # its own thread cannot say so
                self._gathering.now((Collected(GPU, self._wall(), self._settings.gpu_interval_s, 0.0, rooms(seen)),))

    # -- what comes ------------------------------------------------------------------------------------------

    def on_message(self, message: object) -> object:
        """Facts from the rooms, time to report, something that hangs."""
        match message:
            case EnginesChanged(engines=engines):
                self._engines = engines
            case AlertsChanged(alerts=alerts):
                self._alerts = tuple(alert.fingerprint for alert in alerts)
            case LinkChanged(state=state):
                self._reporter.link_is(up=state == "connected")
                self._send()
            case _Report():
                self._report()
            case _Drain():
                self._drains = False
                self._send()
            case _Hangs():
                self._something_hangs()
            case TaskDone(name="gpu"):
                self._gpus = None
                self._gathering.ended(
                    GPU, self._wall(), self._settings.gpu_interval_s
                )  # there is nothing to look at, and that is known now
            case TaskDone(name="gpu events" | "disks"):
                pass  # a machine without GPUs, or a thread that another took over from
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"a collector ended: {message}")
            case _:
                self.context.unhandled(message)
        return None

    # -- what goes -------------------------------------------------------------------------------------------

    def _report(self) -> None:
        snapshot = self._gathering.snapshot
        if snapshot.at:
            self._reporter.see(milliseconds(snapshot.at), snapshot.flat(), self._alerts)
            self._send()
        self.context.after(self._settings.report_interval_s, _Report())

    def _send(self) -> None:
        for key, report in self._reporter.take():
            try:
                self._link.tell(Volatile(key, report))
            except SupervisionError as error:
                self._log.debug("not_told", why=str(error))
        if self._reporter.draining and not self._drains:
            self._drains = True
            self.context.after(DRAIN_S, _Drain())
