"""All that looks at this machine, as the sampler's actor starts it: groups of collectors, one thread for each group.

A group shares a kind of blocking: files of the kernel answer at once, sockets have deadlines, file systems may hang.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from actors.facts import EngineFacts
from config.metrics import MetricsSettings
from config.settings import Settings

from .agent_look import AgentLook, Node
from .amd import AmdGpus
from .cgroup import Groups
from .collector import Collector
from .containers_look import ContainersLook
from .disks_look import Ask, DisksLook, Places, file_system
from .docker_ping import DockerPing
from .engines_look import EnginesLook
from .gpu import Gpus
from .host_look import HostLook
from .kernel_log import FILE as KERNEL_LOG
from .procfs import Kept

Engines = Callable[[], Sequence[EngineFacts]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Group:
    """Collectors of one thread; `close` when it ends."""

    name: str
    collectors: tuple[Collector, ...]
    close: Callable[[], None]
    beats: bool = False
    """What others see shortly before goes with what it sees."""


@dataclass(frozen=True, slots=True)
class Drivers:
    """Of the GPUs; any call of them may hang."""

    gpus: Gpus
    amd: AmdGpus
    kernel_log: Path = KERNEL_LOG


class Eyes(Protocol):
    """What the sampler starts; the simulation brings its own."""

    def groups(self, engines: Engines, clock: Clock) -> tuple[Group, ...]:
        """The groups that never hang."""

    def disks(self, clock: Clock, left_out: set[Path]) -> tuple[DisksLook, Collector]:
        """The group that may: begun anew without what hangs."""

    def drivers(self) -> Drivers:
        """Those of the GPUs, for two threads of their own."""


class MachineEyes:
    """The eyes of a real machine."""

    def __init__(
        self,
        settings: MetricsSettings,
        places: Places,
        docker_host: str = "",
        tree: Callable[[], Node] | None = None,
        ask: Ask = file_system,
    ) -> None:
        self._settings, self._places, self._docker_host = settings, dict(places), docker_host
        self._tree, self._ask = tree, ask

    def groups(self, engines: Engines, clock: Clock) -> tuple[Group, ...]:
        """See Eyes."""
        return (self._kernel(engines, clock), self._sockets(engines, clock))

    def _kernel(self, engines: Engines, clock: Clock) -> Group:
        settings, kept = self._settings, Kept()
        host, agent = HostLook(kept, clock), AgentLook(kept, clock, self._tree)
        containers = ContainersLook(Groups(kept), clock)

        def rest() -> Mapping[str, Mapping[str, Any]]:
            return {"host": host.flow(), "agent": agent.now(), **containers.look(engines())}

        return Group(
            "kernel",
            (
                Collector("host", settings.host_interval_s, lambda: {"host": host.now()}),
                Collector("containers", settings.container_interval_s, rest),
            ),
            kept.close,
            beats=True,
        )

    def _sockets(self, engines: Engines, clock: Clock) -> Group:
        settings = self._settings
        pages = EnginesLook(settings, clock)
        found = [
            Collector(
                "engines", settings.engine_interval_s, lambda: pages.look(engines()), lambda: pages.ask(engines())
            )
        ]
        if self._docker_host:
            ping = DockerPing(self._docker_host, settings.page_timeout_s)
            found.insert(0, Collector("docker", settings.docker_interval_s, lambda: self._docker(ping), ping.ask))
        return Group("sockets", tuple(found), _nothing)

    def _docker(self, ping: DockerPing) -> Mapping[str, Mapping[str, Any]]:
        up = ping.answers()
        if up and "docker" not in self._places:
            root = ping.root()
            if root is not None:
                self._places = {**self._places, "docker": root}
        return {"host": {"docker_up": up}}

    def disks(self, clock: Clock, left_out: set[Path]) -> tuple[DisksLook, Collector]:
        """See Eyes."""
        look = DisksLook(lambda: self._places, clock, self._ask, left_out)
        return look, Collector("disks", self._settings.disk_interval_s, look.look)

    def drivers(self) -> Drivers:
        """See Eyes."""
        return Drivers(Gpus(slow_s=self._settings.gpu_slow_interval_s), AmdGpus())


def places(settings: Settings) -> dict[str, Path]:
    """Whose disks are watched; Docker's own is found by asking it."""
    paths = settings.paths
    return {
        "models": settings.downloads.models_dir,
        "state": paths.state_dir,
        "log": paths.log_dir,
        "system": Path("/"),
    }


def _nothing() -> None:
    """Nothing to close."""
