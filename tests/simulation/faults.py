"""What goes wrong, and when: a plan that follows from the seed. Each fault has a number and chances of its own, so that
a run with some of them left out does the others as before; each kind has a name for the report.
"""

import random
from dataclasses import dataclass

from actors.supervision.signals import Probe
from tests.simulation.gpus import GPUS
from tests.simulation.saboteur import Injected, Trap

FIRST_S = 60.0


@dataclass(frozen=True)
class Struck:
    """A fault that was done."""

    number: int
    at: float
    name: str

    def __str__(self):
        return f"#{self.number} {self.name} at {self.at:.1f}"


def pauses(seed, rate_s):
    """Seconds before each fault of a run, counted from the one before; its number is its place."""
    rng = random.Random(f"{seed}/faults")
    yield FIRST_S
    while True:
        yield rng.expovariate(1 / rate_s)


def _raise():
    raise Injected("a fault in a supervisor")


class Faults:
    """Draws and does faults; `done` is the list of them."""

    def __init__(self, world, saboteur):
        self._world, self._saboteur = world, saboteur
        self.done = []
        self._kinds = [(name.removeprefix("do_"), getattr(self, name)) for name in dir(self) if name.startswith("do_")]

    def strike(self, number):
        """The fault of this number: of a kind that can be done now."""
        rng = random.Random(f"{self._world.report.seed}/fault/{number}")
        for _ in range(10):
            name, deed = rng.choice(self._kinds)
            if deed(rng) is not False:
                self.done.append(Struck(number, self._world.schedule.now, name))
                self._world.note(f"fault: {self.done[-1]}")
                return

    def _paths(self):
        process = self._world.process
        if process is None or process.system is None or not process.ready:
            return []
        return [path for path, cell in sorted(process.system.services.cells.items()) if cell.current is not None]

    def _actor(self, rng, how):
        supervisors = self._world.process.system.services.supervisors if self._paths() else {}
        paths = [path for path in self._paths() if path not in supervisors]
        if not paths:
            return False
        path = rng.choice(paths)
        self._saboteur.traps[path] = Trap.drawn(path, how, rng)
        return True

    # -- the agent ---------------------------------------------------------------------------------------

    def do_crash_before(self, rng):
        return self._actor(rng, "before")

    def do_crash_after(self, rng):
        return self._actor(rng, "after")

    def do_base_exception(self, rng):
        return self._actor(rng, "base")

    def do_hang(self, rng):
        return self._actor(rng, "hang")

    def do_supervisor_crash(self, rng):
        supervisors = sorted(self._world.process.system.services.supervisors) if self._paths() else []
        below_root = [path for path in supervisors if path != "/root"]
        if not below_root:
            return False
        cell = self._world.process.system.services.cells[rng.choice(below_root)]
        return cell.mailbox.signal(Probe(_raise))

    def do_no_thread(self, rng):
        if not self._paths():
            return False
        self._world.process.runtime.refuses_workers = rng.randint(1, 3)
        return True

    def do_kill(self, rng):
        return self._world.kill("kill")

    # -- the disk ----------------------------------------------------------------------------------------

    def do_kill_before_commit(self, rng):
        self._world.disk.next_commit = "before"

    def do_kill_after_commit(self, rng):
        self._world.disk.next_commit = "after"

    def do_torn_write(self, rng):
        self._world.disk.next_commit = "torn"

    def do_disk_full(self, rng):
        world = self._world
        if world.disk.full:
            return False
        world.disk.full = True
        world.schedule.after(rng.uniform(1.0, 120.0), world.disk_free)
        return True

    # -- the link ----------------------------------------------------------------------------------------

    def do_partition(self, rng):
        world = self._world
        if world.master.partitioned:
            return False
        world.master.partitioned = True
        world.nudge_link()
        world.schedule.after(rng.choice((1.0, 10.0, 60.0, 600.0)) * rng.uniform(0.5, 1.5), world.heal_link)
        return True

    def do_duplicate(self, rng):
        self._world.master.repeat = rng.randint(1, 4)

    def do_late(self, rng):
        self._world.master.late_s = rng.choice((1.0, 30.0, 700.0))

    # -- Docker and its containers -----------------------------------------------------------------------

    def do_docker_down(self, rng):
        if self._world.docker.down:
            return False
        self._world.docker.fail(rng.choice(("refuses", "hangs")), rng.uniform(1.0, 120.0))
        return True

    def _container(self, rng):
        running = self._world.docker.running()
        return rng.choice(running) if running else None

    def do_container_dies(self, rng):
        found = self._container(rng)
        return False if found is None else self._world.docker.die(found, rng.choice((1, 134, 137, 139)))

    def do_container_removed(self, rng):
        found = self._container(rng)
        return False if found is None else self._world.docker.remove(found)

    def do_engine_sick(self, rng):
        found = self._container(rng)
        if found is None:
            return False
        found.sick = True
        return True

    # -- the hub -----------------------------------------------------------------------------------------

    def do_hub_down(self, rng):
        if self._world.hub.down:
            return False
        self._world.hub.fail(rng.choice(("refuses", "hangs")), rng.uniform(1.0, 300.0))
        return True

    def do_hub_lies(self, rng):
        self._world.hub.lies = rng.randint(1, 3)

    # -- time --------------------------------------------------------------------------------------------

    def do_clock_step(self, rng):
        self._world.clock_offset_s = rng.choice((-7200.0, -60.0, -1.0, 1.0, 60.0, 7200.0))

    def do_suspend(self, rng):
        self._world.schedule.now += rng.choice((5.0, 60.0, 600.0))
        self._world.invariants.jumped_at = self._world.schedule.now


class GpuFaults(Faults):
    """Those of the GPUs and their driver beside them."""

    def _heals(self, rng, name, bad, good):
        driver = self._world.driver
        if getattr(driver, name) == bad:
            return False
        setattr(driver, name, bad)
        self._world.schedule.after(rng.choice((1.0, 15.0, 120.0)), lambda: setattr(driver, name, good))
        return True

    def do_driver_hangs(self, rng):
        return self._heals(rng, "hangs", bad=True, good=False)

    def do_driver_away(self, rng):
        return self._heals(rng, "away", bad=True, good=False)

    def do_gpu_lost(self, rng):
        driver, gpu = self._world.driver, rng.choice(GPUS)
        if gpu in driver.lost:
            return False
        driver.lost.add(gpu)
        self._world.schedule.after(rng.choice((10.0, 300.0)), lambda: driver.lost.discard(gpu))
        return True

    def do_xid(self, rng):
        self._world.driver.events.append((rng.choice(GPUS), rng.choice((13, 31, 48, 79, 94, 119))))
