"""A simulated server with an agent on it, run for hours under faults, and what must hold whatever happens.

Everything follows from the seed: the same seed gives the same run, turn for turn, and `trace` proves it. The rules that
are checked are the house's "what it must never do", each when it happens: no accepted command is lost, none is done
twice, no healthy engine is stopped but by a command, nothing that is not ours is touched, nothing runs that the policy
does not allow, no two engines have one GPU. When the faults end, everything that is wanted runs. Beside them stand the
invariants of the supervision, after every event of every supervisor.
"""

import gc
import logging
import random
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.simulation.disk import SimDisk
from tests.simulation.docker import KILLED, SimDocker
from tests.simulation.faults import Faults, GpuFaults, pauses
from tests.simulation.gpus import SimDriver
from tests.simulation.hub import SimHub
from tests.simulation.invariants import Invariants
from tests.simulation.master import ENGINES, FORBIDDEN, SimMaster
from tests.simulation.process import Process, settings_of
from tests.simulation.runtime import Schedule
from tests.simulation.saboteur import Saboteur

EPOCH = 1_800_000_000.0
HOUR_S = 3_600.0
CALM_S = 3_000.0
"""Without faults at the end, longer than the longest wait of anything that gave up."""
RESTART_S = (1.0, 5.0)
STOP_S = 60.0
"""More than an orderly end may take."""
KEPT_LINES = 4_000


@dataclass
class Report:
    """What one run showed. `lost`, `doubled`, `stopped` and `wrong` are sentences, one for each violation."""

    seed: int
    hours: float = 0.0
    struck: list = field(default_factory=list)
    """The faults that were done, in order."""
    commands: int = 0
    processes: int = 0
    published: int = 0
    """Versions of models that appeared in the store."""
    turns: int = 0
    trace: int = 0
    checks: int = 0
    """Of a supervisor's invariants."""
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    stopped: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    story: list = field(default_factory=list)

    @property
    def violations(self):
        return [*self.lost, *self.doubled, *self.stopped, *self.wrong]

    @property
    def kinds(self):
        """Which rules were broken."""
        return frozenset(kind for kind in ("lost", "doubled", "stopped", "wrong") if getattr(self, kind))


class World:
    """One server. `rate_s`: mean seconds between faults; `command_s`: between commands. `only`: the numbers of the
    faults that are done, instead of all; `until`: ends at the first violation of one of these kinds. `sampler`: the
    daemon's own runs, too, on GPUs that have faults of their own.
    """

    def __init__(self, seed, folder, *, rate_s=60.0, command_s=90.0, only=None, until=frozenset(), sampler=False):
        self.schedule = Schedule(seed)
        self.operator = random.Random(f"{seed}/operator")
        self.report = Report(seed)
        self.settings = settings_of(Path(folder), sampler=sampler)
        self.settings.paths.state_dir.mkdir(parents=True)
        self.disk = SimDisk(Path(folder) / "disk", random.Random(f"{seed}/disk"))
        self.disk.on_death = self._died_writing
        self.docker = SimDocker(self.schedule, random.Random(f"{seed}/docker"))
        self.docker.judge, self.docker.on_start = self._judge, self._started
        self.docker.stranger()
        self.driver = SimDriver(self.schedule, random.Random(f"{seed}/gpus"), self.docker) if sampler else None
        self.hub = SimHub(self.schedule, seed)
        self.clock_offset_s = 0.0
        self.master = SimMaster(self.schedule, seed, lambda: EPOCH + self.schedule.now)
        self.master.note = self.note
        self.master.twice = lambda text: self._violation(self.report.doubled, text)
        self.process = None
        self.story = deque(maxlen=KEPT_LINES)
        self._rate_s, self._command_s, self._only, self._until = rate_s, command_s, only, until
        self._calm = self._enough = False
        self.invariants = Invariants(lambda text: self._violation(self.report.wrong, text))
        self.schedule.after_turn = self._after_turn

    # -- time and the process --------------------------------------------------------------------------------

    def wall(self):
        return EPOCH + self.schedule.now + self.clock_offset_s

    def note(self, text):
        self.story.append(f"{self.schedule.now:12.3f} {text}")

    def saw(self, event):
        if event.severity != "info":
            self.note(f"{event.kind} {event.path}#{event.incarnation} {event.reason}")

    def start(self):
        self.report.processes += 1
        self.invariants.new_process()
        self.process = Process(self, self.report.processes)

    def kill(self, why):
        """SIGKILL; from outside of the process."""
        process, self.process = self.process, None
        if process is None:
            return False
        self.note(f"process ends: {why}")
        if not process.runtime.dead:
            self.disk.survive()
        self._bury(process)
        return True

    def _bury(self, process):
        self.report.wrong += [f"escaped: {text}" for text in process.runtime.escaped]
        process.bury()
        self.master.conversation = None
        self.schedule.after(random.Random(f"{self.report.seed}/start/{process.number}").uniform(*RESTART_S), self.start)

    def _died_writing(self, how):
        """The disk has killed the process in the middle of a write; its files are what the next one finds."""
        assert self.process is not None
        self.process.runtime.dead = True
        self.process.ended = how

    def _after_turn(self):
        process = self.process
        if process is not None and process.ended:
            self.kill(process.ended)

    # -- faults --------------------------------------------------------------------------------------------------

    def disk_free(self):
        self.disk.full = False

    def nudge_link(self):
        if self.master.conversation is not None:
            self.master.conversation.nudge()

    def heal_link(self):
        self.master.partitioned = False

    def _strike(self, faults, plan):
        """Wait for the next fault of the plan, do it, and so on; one that is left out takes its time all the same."""
        number, pause_s = next(plan)

        def strike():
            if self._calm:
                return
            if self._only is None or number in self._only:
                faults.strike(number)
            self._strike(faults, plan)

        self.schedule.after(pause_s, strike)

    def _operate(self):
        if self._calm:
            return
        self.master.operate()
        self.schedule.after(self.operator.expovariate(1 / self._command_s), self._operate)

    # -- what must hold ------------------------------------------------------------------------------------------

    def _judge(self, container, deed):
        if container.foreign:
            self._violation(self.report.wrong, f"{deed} of a container that is not ours")
        elif container.healthy(self.schedule.now) and not self.master.may_end(container):
            self._violation(self.report.stopped, f"{deed} of the healthy {container.engine}/{container.generation}")

    def _started(self, container):
        gpus = " ".join(gpu[:12] for gpu in container.request.gpus)
        self.note(f"container {container.engine}/{container.generation} starts {gpus}")
        others = [one for one in self.docker.running() if one is not container and not one.foreign]
        if any((one.engine, one.generation) == (container.engine, container.generation) for one in others):
            self._violation(self.report.doubled, f"two containers of {container.engine}/{container.generation} run")
        if container.request.image.startswith(FORBIDDEN):
            self._violation(self.report.wrong, f"{container.request.image} runs, which the policy does not allow")
        shared = {gpu: one for one in others for gpu in one.request.gpus if gpu in container.request.gpus}
        for gpu, one in shared.items():
            self._violation(self.report.wrong, f"{gpu} is given to {container.engine} and to {one.engine}")

    def published(self, model, folder):
        """A version has appeared in the store: it is whole, byte for byte."""
        self.note(f"{model} is published")
        self.report.published += 1
        if not self.hub.holds(folder, model):
            self._violation(self.report.wrong, f"{model} was published and is not what the hub has")

    def _violation(self, kind, text):
        kind.append(f"seed {self.report.seed} at {self.schedule.now:.3f}: {text}")
        self.note(f"VIOLATION {text}")
        self._enough = self._enough or bool(self.report.kinds & self._until)
        if not self.report.story:
            self.report.story = list(self.story)

    def run(self, hours):
        """So many hours with faults, then a calm in which everything must heal."""
        begun = self.schedule.now
        with Saboteur(self) as saboteur, self.invariants, quiet():
            faults = (Faults if self.driver is None else GpuFaults)(self, saboteur)
            self.start()
            self._operate()
            self._strike(faults, enumerate(pauses(self.report.seed, self._rate_s)))
            self._run_until(self.schedule.now + hours * HOUR_S)
            self._heal(saboteur)
            self._run_until(self.schedule.now + CALM_S)
            self._account()
            self._stop()
            process, self.process = self.process, None
            if process is not None:
                process.bury()
        report = self.report
        report.hours = (self.schedule.now - begun) / HOUR_S
        report.struck, report.checks = faults.done, self.invariants.checked
        report.commands, report.turns, report.trace = (
            len(self.master.commands),
            self.schedule.turns,
            self.schedule.trace,
        )
        return report

    def _run_until(self, end):
        self.schedule.run_until(end, lambda: self._enough)

    def _heal(self, saboteur):
        self._calm = True
        saboteur.traps.clear()
        self.disk.full, self.disk.next_commit, self.docker.down = False, "", ""
        self.hub.down, self.hub.lies = "", 0
        self.master.partitioned, self.master.late_s, self.master.repeat = False, 0.0, 0
        if self.driver is not None:
            self.driver.heal()
        for one in self.docker.running():
            if one.sick:
                self.docker.die(one, KILLED)
        if self.process is not None:
            self.process.runtime.refuses_workers = 0

    def _account(self):
        """The end: every command has one end, and what runs is what is wanted."""
        if self._enough:
            return
        self.schedule.settle()
        self.invariants.at_rest(self.schedule.now)
        for command in self.master.commands:
            what = str(command)
            if not command.ended:
                self._violation(self.report.lost, f"no end of {what}, accepted: {command.accepted}")
        for name in ENGINES:
            self._account_engine(name)
        for text in self.master.faults:
            self._violation(self.report.wrong, text)

    def _stop(self):
        """SIGTERM at the very end: the tree ends in good order and in time, and every engine runs on."""
        process = self.process
        if self._enough or process is None:
            return
        running = self.docker.running()
        process.terminated = True
        self.schedule.run_until(self.schedule.now + STOP_S, lambda: bool(process.ended))
        if not process.ended.startswith("exit 0"):
            self._violation(self.report.wrong, f"asked to stop, the agent ended so: {process.ended or 'not at all'}")
        if self.docker.running() != running:
            self._violation(self.report.stopped, "an engine ended with the agent")

    def _account_engine(self, name):
        wanted, running = self.master.wants(name), self.docker.running(name)
        stop = wanted is None or wanted.content.TYPE == "engine.stop"
        seen = [(one.generation, one.healthy(self.schedule.now)) for one in running]
        if stop and running:
            self._violation(self.report.wrong, f"{name} runs though it was stopped: {seen}")
        if not stop and (len(running) != 1 or not seen[0][1]):
            self._violation(self.report.wrong, f"{name} is wanted ({wanted.content.generation}) and is: {seen}")


class quiet:  # noqa: N801  # a context manager
    """No log while a world runs, and no cyclic collector: a dead process's greenlets must not be woken by it."""

    def __enter__(self):
        self._before = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def __exit__(self, *_):
        structlog.configure(**self._before)


def simulate(seed, hours, **options):
    """One run in a folder of its own, in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=memory if memory.is_dir() else None))
    try:
        return World(seed, folder / "world", **options).run(hours)
    finally:
        shutil.rmtree(folder)
        gc.collect()
