"""The metrics sampler: collectors look in other threads and show what they saw; this actor owns them, and tells.

It never makes a call that may block, so it always answers; that a driver or a file system hangs is seen from outside,
by the thread that has the beat.
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

from .beat import GUARD_S, LEAD_S, Beat, Show
from .cgroup import Groups
from .collector import Chore, Collected, Collector, Rooms, run
from .disks_look import DisksLook
from .eyes import Eyes
from .gathering import Gathering
from .gpu_watch import GpuLook, GpuWatch
from .gpus_look import GpusLook, rooms
from .procfs import Kept
from .report import Reporter
from .snapshot import Snapshot

WATCH_S = 1.0
"""Between two looks from outside at what may hang, and into the kernel's log."""
DRAIN_S = 0.5
"""Between two helpings of what was kept while there was no master."""
BEAT, GPU, DISKS, SOCKETS = "beat", "gpu", "disks", "sockets"


class _Drain:
    """To itself: send more of what was kept."""


class _Hangs:
    """To itself: something hangs."""


class _Successor:
    """To itself: the beat needs another thread."""


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
        self._drains = self._report_due = self._reports_begin = False
        self._log = structlog.get_logger().bind(actor="metrics")

    def on_start(self) -> object:
        """Start every collector; the first report comes within an interval, not at one moment everywhere."""
        # All ticks are on a grid through the first report: of many agents that start together each has its own second.
        self._beat_s = self.context.now() + (0.2 + 0.8 * self.context.rng.random()) * self._settings.report_interval_s
        self._reports = self.context.lock()
        self._gathering = Gathering(self._publish, self.context.now, self.context.lock())
        self._begin_beat()
        self._begin_sockets()
        self._begin_disks()
        if self._settings.gpu:
            self._begin_gpus()
        return None

    def _known_engines(self) -> tuple[EngineFacts, ...]:
        return self._engines

    # -- the beat, and what goes with it -----------------------------------------------------------------------

    def _begin_beat(self) -> None:
        flag = self._flag = self.context.flag()
        self._show = self._saw(self._gathering.beat)
        self._beat = Beat(
            (
                *self._eyes.kernel(self._known_engines, self.context.now),
                Chore("around", WATCH_S, self._look_around),
                Chore("report", self._settings.report_interval_s, self._time_to_report),
            ),
            flag,
            self._wall,
            self._beat_s,
            self.context.lock(),
            together=self._beat_saw,
            apart=self._saw(self._gathering.put),
            successor=lambda: self._tell_itself(_Successor()),
        )
        self._begin_successor()

    def _begin_successor(self) -> None:
        self.context.task(BEAT, self._beat.run, cancel=self._flag.set)

    def _begin_sockets(self) -> None:
        """What waits for answers has deadlines, so the thread that asks sees as well whether the beat hangs.

        Only where an engine's address is a name may it wait for longer: as long as the machine's resolver does.
        """
        collectors, flag = self._eyes.sockets(self._known_engines, self.context.now), self.context.flag()
        members = (*collectors, Chore("guard", GUARD_S, self._beat.look_after))
        put, beat_s = self._saw(self._gathering.put), self._beat_s - LEAD_S
        self.context.task(SOCKETS, run, members, flag, self._wall, put, beat_s, cancel=flag.set)

    def _time_to_report(self) -> None:
        """Not at the first tick, where little is known."""
        self._report_due, self._reports_begin = self._reports_begin, True

    def _beat_saw(self, seen: tuple[Collected, ...], next_s: float) -> None:
        """Reports are made here as well, where all that they are made of is in the processor's caches."""
        self._show(seen, next_s)
        if self._report_due:
            self._report_due = False
            self._report()

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
            self._tell_itself(_Hangs())

    def _tell_itself(self, message: object) -> None:
        """From another thread; what is lost is told again with the next beat, or by the guard."""
        try:
            self.context.handle.tell(message)
        except SupervisionError as error:
            self._log.warning("not_told", why=str(error))

    # -- what may hang ---------------------------------------------------------------------------------------

    def _begin_disks(self) -> None:
        look, collector = self._eyes.disks(self.context.now, self._left_out)
        flag = self.context.flag()
        self._disks = (look, flag)
        beat_s, put = self._beat_s - LEAD_S, self._saw(self._gathering.put)
        self.context.task(DISKS, run, (collector,), flag, self._wall, put, beat_s, cancel=flag.set)

    def _begin_gpus(self) -> None:
        """They begin alone: to start a driver's library may take seconds."""
        programs, drivers = GpusLook(Groups(Kept())), self._eyes.drivers()
        watch = self._gpus = GpuWatch(
            drivers.gpus,
            drivers.amd,
            self.context.now,
            on_event=lambda: self._gathering.now((self._gpus_now(watch.latest()),)),
            kernel_log=drivers.kernel_log,
            switch=self.context.flag,
            complete=lambda gpus: programs.name_programs(gpus, self._engines),
        )

        def look() -> Rooms | None:
            seen = watch.look()
            return None if seen is None else rooms(seen)

        collector = self._gpu_looks = Collector(GPU, self._settings.gpu_interval_s, look, on_close=watch.close)
        self.context.task(GPU, self._beat.alone, collector, cancel=self._flag.set)
        self.context.task("gpu events", watch.listen, cancel=watch.stop, lingers=True)

    def _gpus_now(self, seen: GpuLook) -> Collected:
        """What is told between two looks."""
        looks = self._gpu_looks
        return Collected(GPU, self._wall(), looks.interval_s, looks.took_s, rooms(seen), looks.errors, looks.skipped)

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
                self._gathering.now((self._gpus_now(seen),))

    # -- what comes ------------------------------------------------------------------------------------------

    def on_message(self, message: object) -> object:
        """Facts from the rooms, time to report, something that hangs."""
        match message:
            case EnginesChanged(engines=engines):
                self._engines = engines
            case AlertsChanged(alerts=alerts):
                self._alerts = tuple(alert.fingerprint for alert in alerts)
            case LinkChanged(state=state):
                with self._reports:
                    self._reporter.link_is(up=state == "connected")
                    self._send()
            case _Drain():
                with self._reports:
                    self._drains = False
                    self._send()
            case _Hangs():
                self._something_hangs()
            case _Successor():
                self._begin_successor()
            case TaskDone(name="beat" | "gpu", value=str(name)):
                self._gpus = None
                self._gathering.ended(name, self._wall(), self._settings.gpu_interval_s)  # nothing is there: known now
            case TaskDone(name="beat" | "gpu" | "gpu events" | "disks"):
                pass  # a machine without GPUs, or a thread that another took over from
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"a collector ended: {message}")
            case _:
                self.context.unhandled(message)
        return None

    # -- what goes -------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """In the beat's thread."""
        snapshot = self._gathering.snapshot
        with self._reports:
            self._reporter.see(milliseconds(snapshot.at), snapshot.flat(), self._alerts)
            self._send()

    def _send(self) -> None:
        """Holds the lock: a report must not overtake another."""
        for key, report in self._reporter.take():
            try:
                self._link.tell(Volatile(key, report))
            except SupervisionError as error:
                self._log.debug("not_told", why=str(error))
        if self._reporter.draining and not self._drains:
            self._drains = True
            self.context.after(DRAIN_S, _Drain())
