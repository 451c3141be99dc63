"""One process of the agent on the simulated machine: the daemon's own tree, with simulated vendors."""

import pykka

from actors.downloads.messages import StoreChanged
from actors.engines.breaker import Breaker
from actors.engines.kinds.base import Machine
from actors.engines.ports import Ports
from actors.paths import PATHS
from actors.supervision.actor import Actor
from actors.supervision.errors import StartFailed
from actors.supervision.system import System
from actors.tree import tree
from actors.wiring import Wiring
from config.settings import Settings
from tests.simulation.docker import SimClient, SimModels
from tests.simulation.gpus import GPUS, SETTINGS, SimEyes
from tests.simulation.hub import SimHubClient, SimStore
from tests.simulation.master import SimConversation
from tests.simulation.runtime import SimRuntime

LOOK_S = 10.0
"""Between two looks of the watchdog that stands for systemd's."""
MISSED_MAX = 4
START_S = 120.0


class Silent(Actor):
    """Takes what the sampler or the page would take."""

    def on_message(self, message):
        return None


class SimWiring(Wiring):
    """The daemon's wiring with the simulated Docker, disk, clock and master in the vendors' places."""

    def __init__(self, settings, system, world, runtime):
        super().__init__(settings, system, world.wall)
        client = SimClient(world.docker, runtime)
        self.containers, self.prober, self.models = Breaker(client), client, SimModels()
        self.ports = Ports(settings.engines, client.free)
        hub = SimHubClient(world.hub, runtime)
        self.resolve, self.bring = hub.resolve, hub.bring
        self.store.close()
        self.store = SimStore(settings.downloads, lambda: self._tell(PATHS.downloads, StoreChanged()), world.wall)
        self.store.published = world.published
        self.machine = Machine(64.0, 1 << 40, GPUS)
        self.opened = world.disk.opened
        self._world, self._runtime = world, runtime
        self.conversation = self._converse

    def _converse(self, _settings, bridge, received):
        return SimConversation(self._world.master, self._runtime, bridge, received)

    def journal(self):
        actor = super().journal()
        actor._file = self._world.disk.file
        return actor

    def metrics(self):
        return Silent() if self._world.driver is None else super().metrics()

    def eyes(self):
        return SimEyes(self._world.driver, self._runtime)

    def api(self):
        return Silent()


def settings_of(folder, *, sampler=False):
    """Settings that name no vendor and no network."""
    return Settings.model_validate(
        {
            "paths": {"state_dir": folder / "state", "run_dir": folder / "run", "log_dir": folder / "log"},
            "downloads": {
                "models_dir": folder / "models",
                "free_floor_bytes": 0,
                "high_percent": 100.0,
                "low_percent": 99.0,
            },
            "engines": {"docker_host": "unix:///nowhere/docker.sock"},
            "link": {"masters": ["https://master.test"]},
            "policy": {"images": ["sim/llama:*"]},
            "metrics": dict(SETTINGS) if sampler else {"gpu": False},
        }
    )


class Process:
    """From its start to its death. `ended` becomes the reason; the machine starts the next one."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.runtime = SimRuntime(world.schedule, f"process {number}")
        self.system = None
        self.wiring = None
        self.ended = ""
        self.ready = False
        self.terminated = False
        """SIGTERM has come: the tree is stopped at the next look, and `ended` follows."""
        self.runtime.spawn("main", self._main)

    def bury(self):
        """End it as SIGKILL does: nothing runs on, and the kernel closes its files."""
        self.runtime.kill()
        if self.system is not None:
            for incarnation in list(self.system.services.live.values()):
                pykka.ActorRegistry.unregister(incarnation.actor_ref)
        if self.wiring is not None:
            self.wiring.store.close()

    def _main(self):
        settings, held = self.world.settings, []
        wiring = self.wiring = SimWiring(settings, lambda: held[0], self.world, self.runtime)
        self.system = System(tree(wiring), runtime=self.runtime, on_event=self.world.saw, settings=settings.supervision)
        held.append(self.system)
        try:
            self.system.start(START_S)
        except StartFailed as error:
            self.ended = f"start failed: {error}"
            return
        self.ready = True
        missed = 0
        while missed < MISSED_MAX:
            code = self.system.wait_for_exit(LOOK_S)
            if code is not None:
                self.ended = f"exit {code}: {self.system.exit_cause}"
                return
            if self.terminated:
                self.system.stop()
                self.ended = f"exit {self.system.exit_code}: {self.system.exit_cause}"
                return
            missed = 0 if self.system.healthy() else missed + 1
        self.ended = "the watchdog's time is over"
