"""The manager of the engines: admits, remembers what is wanted, and passes Docker's news to each engine."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog
from structlog.contextvars import bound_contextvars

from actors.clock import WallClock
from actors.engines import messages as say
from actors.engines.containers_api import ContainerEvent, Containers
from actors.engines.errors import EngineError, RefusedError
from actors.engines.kinds.base import Kind, Machine
from actors.engines.models_api import Models
from actors.engines.ports import Ports
from actors.engines.probe import Prober
from actors.engines.replica.actor import EngineActor
from actors.engines.replica.world import World
from actors.facts import EngineFacts, EnginesChanged, LinkChanged
from actors.journal import messages as journal
from actors.journal.words import unsupported
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, TaskDone, TaskFailed, Terminated
from config.engines import EnginesSettings
from config.policy import PolicySettings
from protocol.codec import decode, encode
from protocol.messages.base import Command
from protocol.messages.commands import AgentDrain, EngineRestart, EngineStart, EngineStop, EngineUpdate
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.reports import Failure

from .admission import Admission
from .gpu_book import GpuBook
from .orphans import Orphans, reap
from .replicas import Anew, Replicas
from .vram import LOOK_S as VRAM_LOOK_S
from .vram import Used

JOURNAL_S = 10.0
WATCH_RETRY_S = 2.0
DRAIN_KEY = "engines.draining"


class _Watch:
    """To itself: watch Docker's events again."""


class _Settle:
    """To itself: look at the memory of the GPUs that were given back."""


class _Orphans:
    """To itself: look for containers that nobody wants."""


class _DockerUp:
    """To itself: Docker answers."""


class ManagerActor(Actor):
    """See the module. `replica(name)` is the handle of that engine's actor, `replicas` their supervisor."""

    def __init__(
        self,
        *,
        settings: EnginesSettings,
        policy: PolicySettings,
        kinds: Mapping[str, Kind],
        containers: Containers,
        prober: Prober,
        models: Models,
        ports: Ports,
        machine: Machine,
        gpu_memory: Used,
        agent_id: str,
        replicas: Handle,
        replica: Callable[[str], Handle],
        journal_handle: Handle,
        observers: tuple[Handle, ...],
        wall: WallClock,
    ) -> None:
        self._settings, self._kinds = settings, kinds
        self._containers, self._models, self._machine, self._agent_id = containers, models, machine, agent_id
        self._supervisor, self._replica, self._journal = replicas, replica, journal_handle
        self._observers, self._wall, self._prober = observers, wall, prober
        self._ports = ports
        self._facts: dict[str, EngineFacts] = {}
        self._generations: dict[str, int] = {}
        self._wanted: dict[str, say.Wanted] = {}
        self._stopping: dict[str, int] = {}
        """Engines that were told to stop, with the generation of that command."""
        self._admission = Admission(settings, policy, kinds, machine)
        self._gpus = GpuBook(journal_handle, self._admission, gpu_memory)
        self._orphans = Orphans(journal_handle, settings.orphan_grace_s)
        self._draining = False
        self._docker_down = False
        self._log = structlog.get_logger().bind(actor="engines")

    def on_start(self) -> object:
        """Start an actor for everything that is wanted; each finds its own container."""
        self._replicas = Replicas(
            self.context, self._supervisor, self._replica, self._journal, self._wanted, self._make, self._unattended
        )
        state = self._journal.call(journal.LoadDesired(), timeout_s=JOURNAL_S)
        assert isinstance(state, journal.DesiredState)
        self._draining = self._journal.call(journal.GetState(DRAIN_KEY), timeout_s=JOURNAL_S) == b"1"
        self._generations = dict(state.generations)
        for desired in state.engines:
            spec = EngineSpec.model_validate(decode(desired.spec))
            gpus = self._gpus.load(desired.name)
            self._begin(say.Wanted(desired.name, desired.generation, spec, "", gpus))
        if self.context.incarnation > 1:
            self._journal.tell(journal.Again("engine"))  # those that the one before had begun
        self._watch()
        self.context.after(self._orphans.look_s, _Orphans())
        self._observe()
        return None

    def on_message(self, message: object) -> object:
        """One command, one fact or one piece of Docker's news."""
        match message:
            case journal.Execute(command_id=command_id, command=command):
                self._execute(command_id, command)
            case say.Changed(facts=facts):
                self._changed(facts)
            case say.Settled(name=name, generation=generation, gpus=gpus):
                if name in self._wanted and generation == self._wanted[name].generation:  # a newer one has its own
                    self._gpus.settled(name, gpus, self.context.now())
                    self._settle_gpus()
            case say.Gone():
                self._gone(message)
            case say.Answered(name=name, command_id=command_id):
                self._replicas.answered(name, command_id)
            case Terminated(final=True):
                self._replicas.ended(message)
            case Anew(name=name):
                self._replicas.anew(name)
            case ContainerEvent():
                self._news(message)
            case ChildReply():
                self._replicas.replied(message)
            case TaskDone(name="watch") | TaskFailed(name="watch"):
                self._watch_ended(message)
            case LinkChanged():
                pass
            case _:
                self._keep_house(message)
        return None

    def _keep_house(self, message: object) -> None:
        """What nobody commands: GPUs that were given back, containers that nobody wants, Docker's coming and going."""
        match message:
            case _Settle():
                self._settle_gpus()
            case _Orphans():
                self._look_for_orphans()
            case TaskDone(name="orphans", value=value):
                self._orphans_seen(value)
            case TaskDone(name="reap"):
                pass
            case TaskFailed(name="orphans" | "reap"):
                self.context.after(self._orphans.look_s, _Orphans())
            case _Watch():
                self._watch()
            case _DockerUp():
                self._docker_up()
            case _:
                self.context.unhandled(message)

    # -- commands --------------------------------------------------------------------------------------------

    def _execute(self, command_id: str, command: Command) -> None:
        with bound_contextvars(command_id=command_id):
            self._carry_out(command_id, command)

    def _carry_out(self, command_id: str, command: Command) -> None:
        self._journal.tell(journal.Running(command_id))
        try:
            match command:
                case EngineStart() | EngineUpdate():
                    self._want(command_id, command)
                case EngineStop():
                    self._stop(command_id, command)
                case EngineRestart():
                    self._restart(command_id, command)
                case AgentDrain():
                    self._drain(command_id, enabled=command.enabled)
                case _:
                    self._fail(command_id, unsupported(command.TYPE))
        except EngineError as error:
            self._log.warning("command.refused", code=error.code, why=str(error))
            self._fail(command_id, error.failure())

    def _want(self, command_id: str, command: EngineStart | EngineUpdate) -> None:
        known = self._wanted.get(command.name)
        if known is not None and known.generation == command.generation:
            # The same command again after a restart of ours: its engine is on the way or there.
            self._replicas.command(command.name, command_id, say.Become(replace(known, command_id=command_id)))
            return
        self._check_generation(command.name, command.generation)
        others = {name: one.spec for name, one in self._wanted.items()}
        self._admission.check(command.name, command.spec, others, draining=self._draining)
        if known is not None and known.spec.kind != command.spec.kind:
            raise RefusedError(
                "E_SPEC", f"{command.name} is a {known.spec.kind} engine", "", "stop it, or take another name"
            )
        gpus = self._gpus.lease(command.name, command.spec, update=known is not None)
        wanted = say.Wanted(command.name, command.generation, command.spec, command_id, gpus)
        raw = encode(command.spec.model_dump(mode="python"))
        self._journal.tell(journal.PutDesired(journal.Desired(wanted.name, wanted.generation, raw, command_id)))
        self._generations[wanted.name] = wanted.generation
        if known is not None:
            self._wanted[wanted.name] = wanted
            crowded = self._admission.crowded(wanted.name, command.spec, others)
            update = isinstance(command, EngineUpdate)
            self._replicas.command(wanted.name, command_id, say.Become(wanted, update=update, crowded=crowded))
        else:
            self._begin(wanted)

    def _check_generation(self, name: str, generation: int) -> None:
        stored = self._generations.get(name, -1)
        if generation <= stored:
            raise RefusedError(
                "E_STALE", f"generation {generation} of {name} is over", f"{stored} is known", "take a newer one"
            )

    def _stop(self, command_id: str, command: EngineStop) -> None:
        if command.name not in self._wanted and command.generation == self._generations.get(command.name):
            self._journal.tell(journal.Outcome(command_id, "done", None, {"was": "not running"}))  # said again
            return
        if command.generation != self._stopping.get(command.name):
            self._check_generation(command.name, command.generation)
        self._generations[command.name] = command.generation
        if command.name not in self._wanted:
            self._journal.tell(journal.DropDesired(command.name, command.generation))
            self._journal.tell(journal.Outcome(command_id, "done", None, {"was": "not running"}))
            return
        # It stays in the desired state until it has ended: a daemon that dies meanwhile finds it and stops it.
        self._stopping[command.name] = command.generation
        stop = say.StopEngine(command_id, command.generation, command.drain_s)
        self._replicas.command(command.name, command_id, stop)

    def _restart(self, command_id: str, command: EngineRestart) -> None:
        if command.name not in self._wanted:
            raise RefusedError(
                "E_NOT_FOUND", f"there is no engine {command.name}", "", "see: mosalama-master engine list"
            )
        if command.generation < self._generations.get(command.name, -1):
            self._check_generation(command.name, command.generation)
        self._replicas.command(command.name, command_id, say.RestartEngine(command_id, command.drain_s))

    def _drain(self, command_id: str, *, enabled: bool) -> None:
        self._draining = enabled
        self._journal.tell(journal.PutState(DRAIN_KEY, b"1" if enabled else b"0"))
        self._journal.tell(journal.Outcome(command_id, "done", None, {"draining": enabled}))

    def _fail(self, command_id: str, failure: Failure) -> None:
        self._journal.tell(journal.Outcome(command_id, "failed", failure))

    # -- engines ---------------------------------------------------------------------------------------------

    def _begin(self, wanted: say.Wanted) -> None:
        if wanted.spec.kind not in self._kinds:
            self._log.error("engine.kind_unknown", engine=wanted.name, kind=wanted.spec.kind)
            return
        self._wanted[wanted.name] = wanted
        self._replicas.begin(wanted.name)

    def _make(self, wanted: say.Wanted) -> Callable[[], EngineActor]:
        machine = Machine(self._machine.cpus, self._machine.memory_bytes)
        world = World(
            self._agent_id, self._containers, self._models, self._ports, self._settings, machine, self._prober
        )
        manager, journal_handle, wall = self.context.handle, self._journal, self._wall
        kind = self._kinds[wanted.spec.kind]
        return lambda: EngineActor(
            wanted=wanted, kind=kind, world=world, manager=manager, journal_handle=journal_handle, wall=wall
        )

    def _unattended(self, name: str, why: str) -> None:
        """What its actor showed last stands, and that nobody looks."""
        facts = self._facts.get(name)
        if facts is not None:
            self._changed(replace(facts, why=why[:500]))

    def _changed(self, facts: EngineFacts) -> None:
        self._facts[facts.name] = facts
        self._observe()

    def _gone(self, gone: say.Gone) -> None:
        self._journal.tell(journal.Outcome(gone.command_id, "done"))
        self._replicas.answered(gone.name, gone.command_id)
        if self._stopping.get(gone.name) == gone.generation:
            del self._stopping[gone.name]
        wanted = self._wanted.get(gone.name)
        if wanted is not None and wanted.generation > gone.generation:
            return  # started again meanwhile: its actor knows
        for known in (self._facts, self._wanted):
            known.pop(gone.name, None)
        self._gpus.gone(gone.name, self.context.now())
        self._settle_gpus()
        self._journal.tell(journal.DropDesired(gone.name, gone.generation))
        self._replicas.leave(gone.name)
        self._observe()

    def _observe(self) -> None:
        changed = EnginesChanged(tuple(self._facts[name] for name in sorted(self._facts)))
        for handle in self._observers:
            try:
                handle.tell(changed)
            except SupervisionError as error:
                self._log.debug("not_told", to=handle.path, why=str(error))

    def _settle_gpus(self) -> None:
        if self._gpus.settle(self.context.now()):
            self.context.after(VRAM_LOOK_S, _Settle())

    # -- orphans ---------------------------------------------------------------------------------------------

    def _look_for_orphans(self) -> None:
        self.context.task("orphans", self._containers.find, self._agent_id)

    def _orphans_seen(self, found: object) -> None:
        wanted = {*self._wanted, *self._replicas.leaving, *self._stopping}
        end = self._orphans.seen(found, wanted, self._generations, self.context.now())
        if end:
            self.context.task("reap", reap, self._containers, end)
        self.context.after(self._orphans.look_s, _Orphans())

    # -- Docker's news ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._cancel = self.context.flag()
        self.context.task("watch", self._run_watch, cancel=self._cancel.set)

    def _run_watch(self) -> None:
        """In a thread of ours: every event of our containers becomes a message."""
        cancelled, handle = self._cancel, self.context.handle
        self._containers.ping()
        handle.tell(_DockerUp())
        for name in tuple(self._wanted):  # what happened while nobody watched
            self._replicas.hint(name, say.LookAgain())
        for event in self._containers.events(self._agent_id, cancelled.is_set):
            handle.tell(event)

    def _watch_ended(self, ended: TaskDone | TaskFailed) -> None:
        why = ended.error if isinstance(ended, TaskFailed) else "the stream ended"
        if not self._docker_down and not self._cancel.is_set():
            self._docker_down = True
            self._journal.tell(
                journal.Emit("docker.down", "error", "docker", f"{why}; engines run on and are not touched")
            )
        self.context.after(WATCH_RETRY_S, _Watch())

    def _docker_up(self) -> None:
        if self._docker_down:
            self._docker_down = False
            self._journal.tell(journal.Emit("docker.up", "info", "docker", "it answers again"))

    def _news(self, event: ContainerEvent) -> None:
        if event.action in {"die", "destroy", "oom"} and event.engine in self._wanted:
            changed = say.ContainerChanged(event.container_id, event.action, event.exit_code)
            self._replicas.hint(event.engine, changed)
