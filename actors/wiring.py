"""What each actor gets: settings, handles, the vendor homes by interface. Nobody looks anything up.

One method for each actor of the tree; the simulation puts its own vendors in the places of the real ones.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog

from actors.api.actor import ApiActor, Put
from actors.api.board import Board
from actors.api.desk import Desk
from actors.api.happened import merged
from actors.api.history import History
from actors.api.server import Readers
from actors.clock import WallClock
from actors.downloads.bodies.api import Bring
from actors.downloads.bodies.engine import TransferEngine
from actors.downloads.manager.actor import DownloadManagerActor
from actors.downloads.messages import StoreChanged
from actors.downloads.sources import resolve
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import Resolve
from actors.engines.breaker import guarded
from actors.engines.containers_api import Containers
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.logs.actor import EngineLogsActor
from actors.engines.logs.source import LogSource
from actors.engines.manager.actor import ManagerActor
from actors.engines.models_api import Models
from actors.engines.policy import source_allowed
from actors.engines.ports import Ports
from actors.engines.probe import HttpProber, Prober
from actors.engines.reader import EngineReader
from actors.forwarding.actor import ForwardActor
from actors.forwarding.encoders import Source
from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.journal.store import JournalStore
from actors.link.actor import LinkActor
from actors.link.conversation import Bridge, Conversation
from actors.link.identity import IdentityFiles
from actors.link.loop import LinkLoop
from actors.log.setup import FILE_NAME, Log
from actors.metrics import host
from actors.metrics.actor import SamplerActor
from actors.metrics.alerts.actor import AlertsActor
from actors.metrics.alerts.judge import Door
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.eyes import Eyes, MachineEyes, places
from actors.metrics.gpu import uuids_within
from actors.metrics.snapshot import Snapshot
from actors.paths import PATHS
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.system import System
from config.link import LinkSettings
from config.settings import Settings
from protocol.messages.reports import Inventory

JOURNAL_FILE = "journal.sqlite"
EVENTS_SHOWN = 500
EVENTS_S = 5.0
CHARTS_STEP_S = 5.0
"""Of the quarter of an hour in the charts."""
GPUS_S = 15.0
"""How long a GPU driver may take at the start; one that hangs does not keep the rest from running."""


class Wiring:
    """Hands out handles and the few objects that several actors share; made once, before the system starts."""

    def __init__(
        self, settings: Settings, system: Callable[[], System], wall: WallClock, log: Log | None = None
    ) -> None:
        self.settings, self.wall, self.log = settings, wall, log
        self._system = system
        self.identity = IdentityFiles(settings.paths.state_dir)
        self.label = self.identity.label()
        """Marks our containers: the machine's first key, which is there before any master is."""
        self.containers: Containers = guarded(settings.engines)
        self.ports = Ports(settings.engines)
        self.store = ModelStore(settings.downloads, lambda: self._tell(PATHS.downloads, StoreChanged()), wall)
        self.bring: Bring = TransferEngine(settings.downloads)
        self.models: Models = self.store
        self.prober: Prober = HttpProber()
        self._gpu_memory: dict[str, int] | None = None
        self._door = Door(lambda turned: self._tell(PATHS.alerts, turned))
        self.allowed = partial(source_allowed, settings.policy)
        self.resolve: Resolve = lambda source, read: resolve(settings.downloads, source, self.allowed, read)
        self.conversation: Callable[[LinkSettings, Bridge, int], Conversation] = LinkLoop
        self.opened = JournalStore.open
        self.board = Board()
        self.log_source = LogSource(settings.engines.docker_host, lambda: self.board.fact("engines"))
        self.history = History(max(CHARTS_STEP_S, settings.metrics.host_interval_s))
        self.machine = _machine(settings)
        self.board.put(
            "agent", {"version": version("mosalamaagent"), "label": self.label, "host": socket.gethostname()}
        )

    def handle(self, path: str) -> Handle:
        """The handle of an actor."""
        return self._system().handle(path)

    def _handles(self, *paths: str) -> tuple[Handle, ...]:
        return tuple(self.handle(path) for path in paths)

    def _tell(self, path: str, message: object) -> None:
        """Tell an actor what it may miss."""
        try:
            self.handle(path).tell(message)
        except SupervisionError as error:
            structlog.get_logger().debug("not_told", actor=path, why=str(error))

    def inventory(self) -> Inventory:
        """What the machine has, for the master."""
        watched = (self.settings.paths.state_dir, self.settings.downloads.models_dir)
        values: dict[str, Any] = dict(host.inventory(watched))
        values["gpu.count"] = len(self.machine.gpus)
        if self.machine.gpus:
            values["gpu.uuids"] = self.machine.gpus
        return Inventory(values=values)

    # -- one method for each actor ---------------------------------------------------------------------------

    def journal(self) -> JournalActor:
        """See JournalActor."""
        engines, downloads, link, logs = self._handles(PATHS.engines, PATHS.downloads, PATHS.link, PATHS.engine_logs)
        api = self.handle(PATHS.api)
        return JournalActor(
            file=self.settings.paths.state_dir / JOURNAL_FILE,
            settings=self.settings.journal,
            # A word goes before its family; what has no owner here is refused by name.
            routes={"engine": engines, "agent.drain": engines, "agent.diagnose": api, "model": downloads}
            | dict.fromkeys(("agent.rotate", "agent.status"), link)
            | dict.fromkeys(("engine.logs", "engine.logs_stop"), logs),
            link=link,
            wall=self.wall,
            opened=self.opened,
        )

    def engines(self) -> ManagerActor:
        """See ManagerActor."""
        return ManagerActor(
            settings=self.settings.engines,
            policy=self.settings.policy,
            kinds=known_kinds(),
            containers=self.containers,
            prober=self.prober,
            models=self.models,
            ports=self.ports,
            machine=self.machine,
            gpu_memory=lambda: self._gpu_memory,
            agent_id=self.label,
            replicas=self.handle(PATHS.replicas),
            replica=lambda name: self.handle(f"{PATHS.replicas}/{name}"),
            journal_handle=self.handle(PATHS.journal),
            observers=self._handles(PATHS.metrics, PATHS.alerts, PATHS.api, *([PATHS.engine_logs] if self.log else [])),
            wall=self.wall,
        )

    def downloads(self) -> DownloadManagerActor:
        """See DownloadManagerActor."""
        return DownloadManagerActor(
            settings=self.settings.downloads,
            store=self.store,
            bring=self.bring,
            allowed=self.allowed,
            resolve=self.resolve,
            transfers=self.handle(PATHS.transfers),
            transfer=lambda name: self.handle(f"{PATHS.transfers}/{name}"),
            journal_handle=self.handle(PATHS.journal),
            observers=(self.handle(PATHS.api),),
            wall=self.wall,
        )

    def metrics(self) -> SamplerActor:
        """See SamplerActor."""
        return SamplerActor(
            settings=self.settings.metrics,
            eyes=self.eyes(),
            link=self.handle(PATHS.link),
            publish=self._publish,
            wall=self.wall,
        )

    def eyes(self) -> Eyes:
        """What looks at the machine; the simulation brings its own."""
        return MachineEyes(
            self.settings.metrics, places(self.settings), self.settings.engines.docker_host, self._system().tree
        )

    def _publish(self, snapshot: Snapshot) -> None:
        self._gpu_memory = snapshot.gpu_memory()
        self._door.sampled(snapshot)
        self._tell(PATHS.api, Put("snapshot", snapshot))

    def alerts(self) -> AlertsActor:
        """See AlertsActor."""
        return AlertsActor(
            settings=self.settings.metrics,
            rules=DEFAULT_RULES,
            node=self.label,
            journal_handle=self.handle(PATHS.journal),
            observers=self._handles(PATHS.metrics, PATHS.api),
            wall=self.wall,
            door=self._door,
        )

    def link(self) -> LinkActor:
        """See LinkActor."""
        return LinkActor(
            settings=self.settings.link,
            state_dir=self.settings.paths.state_dir,
            journal_handle=self.handle(PATHS.journal),
            observers=self._handles(PATHS.metrics, PATHS.alerts, PATHS.api),
            inventory=self.inventory,
            conversation=self.conversation,
            wall=self.wall,
        )

    def api(self) -> ApiActor:
        """See ApiActor."""
        system = self._system()
        readers = Readers(
            tree=lambda: asdict(system.tree()),
            events=self._events,
            healthy=system.healthy,
            engine=EngineReader(self.containers, self.handle(PATHS.journal), self.label),
            history=self.history,
            log_file=self.settings.paths.log_dir / FILE_NAME,
            engine_log=self.log_source.of_engine,
            levels=None if self.log is None else self.log.levels,
            desk=Desk(self.identity.key, self.label, self.handle(PATHS.journal), self.wall),
        )
        return ApiActor(
            settings=self.settings.api,
            run_dir=self.settings.paths.run_dir,
            board=self.board,
            readers=readers,
            journal_handle=self.handle(PATHS.journal),
            wall=self.wall,
        )

    def engine_logs(self) -> EngineLogsActor:
        """See EngineLogsActor."""
        journal_handle, link = self.handle(PATHS.journal), self.handle(PATHS.link)
        return EngineLogsActor(source=self.log_source.of_container, journal_handle=journal_handle, link=link)

    def forwarding(self) -> ForwardActor:
        """See ForwardActor."""
        assert self.log is not None, "forwarding needs the log that it forwards"
        source = Source(socket.gethostname(), os.getpid(), version("mosalamaagent"))
        return ForwardActor(targets=self.settings.log.forward, buffers=self.log.buffers, source=source)

    def _events(self) -> list[dict[str, Any]]:
        """The last events of the journal and of the supervision; asked from a thread of the server."""
        found = self.handle(PATHS.journal).call(journal.RecentEvents(EVENTS_SHOWN), timeout_s=EVENTS_S)
        assert isinstance(found, tuple)
        system = self._system()
        told, now_s = system.events(), system.runtime.now()
        return merged(found, told, wall_s=self.wall(), now_s=now_s, limit=EVENTS_SHOWN)


def _machine(settings: Settings) -> Machine:
    facts = host.inventory(())
    uuids = uuids_within(GPUS_S) if settings.metrics.gpu else ()
    return Machine(float(facts["cpu.count"] or 1), int(facts["memory.total_bytes"] or 0), uuids)
