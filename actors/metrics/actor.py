"""The metrics sampler: a collector thread looks, this actor tells; a slow driver never keeps it from answering."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from actors.clock import WallClock, milliseconds
from actors.facts import AlertsChanged, EngineFacts, EnginesChanged
from actors.journal.messages import Volatile
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from config.metrics import MetricsSettings

from .amd import AmdGpus
from .gpu import Gpus
from .gpu_watch import GpuLook, GpuWatch, no_gpus
from .report import Reporter
from .sampler import Sampled, Sampler, Snapshot


class _Report:
    """To itself: tell the master."""


class SamplerActor(Actor):
    """See the module."""

    def __init__(
        self,
        *,
        settings: MetricsSettings,
        directories: Sequence[Path],
        docker_host: str = "",
        link: Handle,
        publish: Callable[[Snapshot], None],
        wall: WallClock,
    ) -> None:
        self._settings, self._directories, self._docker_host = settings, tuple(directories), docker_host
        self._link, self._publish, self._wall = link, publish, wall
        self._reporter = Reporter(settings.full_report_every)
        self._engines: tuple[EngineFacts, ...] = ()
        self._alerts: tuple[str, ...] = ()
        self._latest: Snapshot | None = None
        self._stop, self._wake = threading.Event(), threading.Event()
        self._log = structlog.get_logger().bind(actor="metrics")

    def on_start(self) -> object:
        """Start the collector; the first report comes with the first full interval."""
        look = no_gpus
        if self._settings.gpu:
            watch = GpuWatch(Gpus(), AmdGpus(), self._settings.gpu_interval_s, self.context.now, self._wake.set)
            self.context.task("gpu", watch.look_on, cancel=watch.stop)
            self.context.task("gpu events", watch.listen, cancel=watch.stop)
            look = watch.latest
        self.context.task("collect", self._collect, look, cancel=self._end)
        self.context.after(self.context.rng.uniform(0.2, 1.0) * self._settings.report_interval_s, _Report())
        return None

    def on_message(self, message: object) -> object:
        """Facts from the engines, snapshots from the collector, time to report."""
        match message:
            case EnginesChanged(engines=engines):
                self._engines = engines
            case AlertsChanged(alerts=alerts):
                self._alerts = tuple(alert.fingerprint for alert in alerts)
            case Sampled(snapshot=snapshot):
                self._latest = snapshot
                self._publish(snapshot)
            case _Report():
                self._report()
            case TaskDone(name="gpu" | "gpu events"):
                pass  # a machine without GPUs
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"the collector ended: {message}")
            case _:
                self.context.unhandled(message)
        return None

    def _end(self) -> None:
        self._stop.set()
        self._wake.set()

    def _collect(self, gpus: Callable[[], GpuLook]) -> None:
        """In the collector's thread: an absolute schedule, missed ticks are left out; a GPU's event comes at once."""
        sampler = Sampler(self._settings, self._directories, self._docker_host, gpus)
        interval_s = min(self._settings.host_interval_s, self._settings.engine_interval_s)
        due = self.context.now()
        try:
            while not self._stop.is_set():
                self._wake.clear()
                self._tell_self(Sampled(sampler.sample(self._engines, self._wall())))
                now = self.context.now()
                due = max(due + interval_s, now)
                if self._wake.wait(due - now):
                    due = self.context.now()
        finally:
            sampler.close()

    def _tell_self(self, message: object) -> None:
        try:
            self.context.handle.tell(message)
        except SupervisionError as error:
            self._log.warning("sample_lost", why=str(error))

    def _report(self) -> None:
        if self._latest is not None:
            report = self._reporter.make(milliseconds(self._latest.at), self._latest.flat(), self._alerts)
            try:
                self._link.tell(Volatile("report", report))
            except SupervisionError as error:
                self._log.debug("not_told", why=str(error))
        self.context.after(self._settings.report_interval_s, _Report())
