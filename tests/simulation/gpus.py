"""GPUs with their driver, and the other eyes of a simulated server: calls take virtual time, fail, hang and lie away.

The sampler above them is the daemon's own, with its watch of the driver, its alerts and its reports.
"""

from collections import deque
from pathlib import Path
from types import MappingProxyType

from actors.metrics.collector import Collector
from actors.metrics.disks_look import DisksLook
from actors.metrics.eyes import Drivers

GPUS = tuple(f"GPU-{number:08d}-0000-0000-0000-000000000000" for number in range(4))
CALL_S = (0.001, 0.01)
HANG_LOOK_S = 5.0
MEMORY_BYTES = 1 << 34
USED_BYTES = 1 << 33
SETTINGS = MappingProxyType(
    {"gpu": True, "gpu_interval_s": 5.0, "host_interval_s": 10.0, "disk_interval_s": 60.0, "report_interval_s": 60.0}
)
"""Of the sampler: rarer looks than a real machine's, so that hours pass quickly."""


class SimDriver:
    """The machine's: `hangs` answers nobody, `away` refuses every call, `lost` are GPUs that fell off the bus."""

    def __init__(self, schedule, rng, docker):
        self.schedule, self.rng, self._docker = schedule, rng, docker
        self.hangs = self.away = False
        self.lost = set()
        self.events = deque()

    def heal(self):
        self.hangs = self.away = False
        self.lost.clear()

    def figures(self, uuid):
        if uuid in self.lost:
            return {"lost": 1}
        used = any(uuid in one.request.gpus for one in self._docker.running())
        memory = {"memory_total_bytes": MEMORY_BYTES, "memory_used_bytes": USED_BYTES if used else 0}
        return {"lost": 0, "temperature_c": 50.0, **memory}


class SimGpus:
    """What one process of the agent asks it: actors.metrics.gpu.Gpus."""

    never = deaf = False

    def __init__(self, driver, runtime):
        self._driver, self._runtime = driver, runtime
        self.running = False

    def _call(self):
        driver = self._driver
        self._pause(driver.rng.uniform(*CALL_S))
        while driver.hangs:
            self._pause(HANG_LOOK_S)
        self.running = not driver.away

    def _pause(self, delay_s):
        self._runtime.parker().park(delay_s)
        self._runtime.check()

    def start(self, now_s=0.0):
        self._call()
        return self.running

    def stop(self):
        self.running = False

    def sample(self, now_s=0.0):
        figures = {}
        for uuid in GPUS:
            self._call()
            if not self.running:
                return {}
            figures[uuid] = self._driver.figures(uuid)
        return figures

    def driver(self):
        return {"version": "sim", "mismatch": 0, "gpus_missing": 0 if self.running else None}

    def wait_event(self, timeout_s):
        self._pause(timeout_s)
        return self._driver.events.popleft() if self._driver.events and not self._driver.hangs else None


class NoAmd:
    """A machine without GPUs of the other maker."""

    cards = ()

    def sample(self):
        return {}


class SimEyes:
    """What the sampler of one process starts: actors.metrics.eyes.Eyes."""

    def __init__(self, driver, runtime):
        self._driver, self._runtime = driver, runtime

    def kernel(self, engines, clock):
        return (Collector("host", SETTINGS["host_interval_s"], lambda: {"host": {"docker_up": True}}),)

    def sockets(self, engines, clock):
        return ()

    def disks(self, clock, left_out):
        figures = {"device": 1, "total_bytes": 1 << 40, "free_bytes": 1 << 39, "used_share": 0.5}
        look = DisksLook(lambda: {"state": Path("/state")}, clock, lambda _: dict(figures), left_out)
        return look, Collector("disks", SETTINGS["disk_interval_s"], look.look)

    def drivers(self):
        return Drivers(SimGpus(self._driver, self._runtime), NoAmd(), Path("/nowhere"))
