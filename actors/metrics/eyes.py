"""All that looks at this machine, as the sampler's actor starts it, by how it may block.

Files of the kernel answer at once, sockets have deadlines, file systems and drivers may hang.
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
class Drivers:
    """Of the GPUs; any call of them may hang."""

    gpus: Gpus
    amd: AmdGpus
    kernel_log: Path = KERNEL_LOG


class Eyes(Protocol):
    """What the sampler starts; the simulation brings its own."""

    def kernel(self, engines: Engines, clock: Clock) -> tuple[Collector, ...]:
        """What reads files of the kernel; no two share what one thread alone may touch."""

    def sockets(self, engines: Engines, clock: Clock) -> tuple[Collector, ...]:
        """What waits for answers, for one thread."""

    def disks(self, clock: Clock, left_out: set[Path]) -> tuple[DisksLook, Collector]:
        """File systems, which may hang: begun anew without what hangs."""

    def drivers(self) -> Drivers:
        """Those of the GPUs, which may hang too."""


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

    def kernel(self, engines: Engines, clock: Clock) -> tuple[Collector, ...]:
        """See Eyes."""
        settings, of_host, of_rest = self._settings, Kept(), Kept()
        host, flow = HostLook(of_host, clock), HostLook(of_rest, clock)
        agent, containers = AgentLook(of_rest, clock, self._tree), ContainersLook(Groups(of_rest), clock)

        def rest() -> Mapping[str, Mapping[str, Any]]:
            return {"host": flow.flow(), "agent": agent.now(), **containers.look(engines())}

        return (
            Collector("host", settings.host_interval_s, lambda: {"host": host.now()}, on_close=of_host.close),
            Collector("containers", settings.container_interval_s, rest, on_close=of_rest.close),
        )

    def sockets(self, engines: Engines, clock: Clock) -> tuple[Collector, ...]:
        """See Eyes."""
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
        return tuple(found)

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
