"""One engine: brings its container to what is wanted and keeps it there.

A crash or stop of this actor leaves the container alone; the next incarnation finds it by its labels and adopts it.
Docker is only ever called in the actor's own task threads, one at a time, so that it always answers.
"""

from dataclasses import replace

from actors.clock import WallClock
from actors.engines import messages as say
from actors.engines.containers_api import Observed
from actors.engines.failures import CAUSES, Cause, classify, exit_words, last_words
from actors.engines.kinds.base import Kind
from actors.engines.probe import Health
from actors.engines.restarts import HEALTHY_S, History, decide
from actors.facts import EngineFacts
from actors.supervision.actor import Actor
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from actors.supervision.tasks import Task
from protocol.messages.reports import Failure

from . import steps
from .found import Adopt, Clear, Examine, Launch
from .found import decide as decide_found
from .health import LOADING_PROBE_S, Patience, Verdict
from .memory import Memory
from .voice import Ending, Voice

DOCKER_RETRY_S = 2.0
ATTEMPTS_KEPT = 10
HOPELESS = frozenset({"RefusedError", "ImageError"})
"""Failures of a launch that come back for ever unless somebody changes something."""


class _Again:
    """To itself: look at what is there and go on."""


class _Probe:
    """To itself: look at the engine's health."""


class EngineActor(Actor):
    """See the module. `world` has Docker, models and ports; `kind` knows the engine's words."""

    def __init__(
        self,
        *,
        wanted: say.Wanted,
        kind: Kind,
        world: steps.World,
        manager: Handle,
        journal_handle: Handle,
        wall: WallClock,
    ) -> None:
        self._wanted, self._kind, self._world, self._wall = wanted, kind, world, wall
        self._voice = Voice(wanted.name, manager, journal_handle, wanted.command_id)
        self._memory = Memory(journal_handle, wanted.name)
        self._facts = EngineFacts(wanted.name, wanted.spec.kind, "starting", wanted.spec.image, wanted.spec.model.uri)
        self._container: Observed | None = None
        self._condemned: str | None = None
        """A container that may still run, but does not serve: it is removed, never adopted again."""
        self._task: Task | None = None
        self._ending: say.StopEngine | say.RestartEngine | None = None
        self._good: say.Wanted | None = None
        self._bad: int | None = None
        """The generation that did not run and for which the last good one stands in."""
        self._patience = Patience(0.0)

    # -- messages --------------------------------------------------------------------------------------------

    def on_start(self) -> object:
        """Remember what is wanted and what happened before, then look at what is there."""
        known = self._memory.recall(self._wanted)
        if known.wanted.generation != self._wanted.generation:
            self._voice.waiting.clear()
        self._wanted, self._history, self._good, self._bad = known.wanted, known.history, known.good, known.bad
        self._show("starting", "looking for its container")
        if self.context.incarnation > 1:
            self._voice.commands_again()  # those that the one before had begun
        self._observe()
        return None

    def on_message(self, message: object) -> object:
        """One message; the result of a step is one too."""
        match message:
            case TaskDone(name=name, value=value):
                self._task = None
                getattr(self, f"_did_{name}")(value)
            case TaskFailed():
                self._task = None
                self._step_failed(message)
            case _Probe():
                self._probe()
            case _Again():
                self._observe()
            case say.LookAgain():
                if self._facts.state not in {"backoff", "gave_up"}:  # those have their own time
                    self._observe()
            case say.ContainerChanged(container_id=container_id):
                self._container_changed(container_id)
            case say.Become(wanted=wanted):
                self._become(wanted)
            case say.StopEngine() | say.RestartEngine():
                self._end(message)
            case _:
                self.context.unhandled(message)
        return None

    def _step(self, name: str, fn: object, *args: object) -> bool:
        """Begin a blocking step; only one runs at a time."""
        if self._task is not None:
            return False
        self._cancel = self.context.flag()
        assert callable(fn)
        self._task = self.context.task(name, fn, *args, cancel=self._cancel.set)
        return True

    # -- what is there ---------------------------------------------------------------------------------------

    def _observe(self) -> None:
        self._step("observe", steps.observe, self._world, self._wanted.name)

    def _did_observe(self, found: tuple[Observed, ...]) -> None:
        if self._ending is not None:
            self._step("end", self._run_end, found, self._ending.drain_s)
            return
        known = self._container.container_id if self._container else None
        match decide_found(found, self._wanted.generation, known, self._condemned):
            case Adopt(seen=seen):
                self._adopt(seen)
            case Clear(containers=containers):
                self._step("clear", self._run_end, containers, 0.0)
            case Examine(container_id=container_id):
                self._container_changed(container_id)
            case Launch():
                self._launch()

    def _run_end(self, found: tuple[Observed, ...], drain_s: float) -> None:
        steps.end(self._world, self._kind, found, drain_s, self._cancel)

    def _did_clear(self, _value: object) -> None:
        self._container = None
        self._observe()

    def _adopt(self, seen: Observed) -> None:
        known = self._container is not None and self._container.container_id == seen.container_id
        self._container = seen
        self._world.ports.keep(self._wanted.name, seen.port)
        self._world.models.lease(self._wanted.spec.model, self._wanted.name)
        if known and self._facts.state in {"loading", "ready"}:
            return
        if not known:
            self._voice.emit("engine.adopted", "info", f"container {seen.container_id[:12]} was running and is adopted")
        self._started(seen, "adopted; waiting for its health")

    # -- starting --------------------------------------------------------------------------------------------

    def _launch(self) -> None:
        if self._step("launch", self._run_launch):
            self._show("starting", "image, container, start")

    def _run_launch(self) -> Observed:
        return steps.launch(self._world, self._wanted, self._kind, self._voice.progress, self._cancel)

    def _did_launch(self, seen: Observed) -> None:
        if self._ending is not None or seen.generation != self._wanted.generation:
            self._observe()  # something else is wanted since
            return
        self._container = seen
        self._voice.log.info("engine.container", container=seen.container_id[:12], port=seen.port)
        self._started(seen, "loading the model")

    def _started(self, seen: Observed, why: str) -> None:
        self._patience = Patience(self.context.now())
        self._facts = steps.facts_of(self._facts, self._world, self._wanted, self._kind, seen)
        self._show("loading", why)
        self._probe()

    # -- health ----------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        if self._facts.state not in {"loading", "ready"} or self._facts.endpoint is None:
            return
        traits = self._kind.traits
        limit_s = max(traits.health_timeout_s, self._wanted.spec.probes.timeout_s)
        if not self._step("probe", self._world.look, self._facts.endpoint, traits.health_path, limit_s):
            self.context.after(LOADING_PROBE_S[0], _Probe())

    def _did_probe(self, health: Health) -> None:
        state, probes = self._facts.state, self._wanted.spec.probes
        if self._ending is not None or state == "starting":
            self._observe()  # something else is wanted since the look began
            return
        if state == "loading":
            verdict, self._patience = self._patience.loading(health, probes, self.context.now())
        elif state == "ready":
            verdict, self._patience = self._patience.serving(health, probes)
        else:
            return
        if verdict is Verdict.DEAD and self._patience.cause is not None:
            self._died(self._patience.cause, self._patience.words, ())
            return
        if verdict is Verdict.READY:
            self._serves(first=state == "loading")
        self.context.after(self._patience.wait_s, _Probe())

    def _serves(self, *, first: bool) -> None:
        since = self._facts.ready_since
        if first:
            self._ready()
        elif since is not None and self._history.deaths and self._wall() - since > HEALTHY_S:
            self._remember(History())

    def _ready(self) -> None:
        if self._bad is None:
            self._good = self._wanted
            self._memory.remember_good(self._good)
        took_s = self.context.now() - self._patience.loading_since
        self._facts = replace(self._facts, ready_since=self._wall(), next_try_at=None)
        self._show("ready", "")
        self._voice.emit("engine.ready", "info", f"ready after {took_s:.1f} s at {self._facts.endpoint}")
        self._answer("done")

    # -- deaths ----------------------------------------------------------------------------------------------

    def _container_changed(self, container_id: str) -> None:
        if self._container is None or container_id != self._container.container_id or self._ending is not None:
            return
        if self._facts.state not in {"loading", "ready"}:
            return
        if not self._step("autopsy", steps.autopsy, self._world, container_id):
            self.context.after(LOADING_PROBE_S[0], say.ContainerChanged(container_id, "die"))

    def _did_autopsy(self, found: steps.Autopsy) -> None:
        if self._ending is not None or self._facts.state not in {"loading", "ready"}:
            self._observe()
        elif found.removed:
            self._died(CAUSES["removed"], "its container is gone", ())
        else:
            failures = self._kind.traits.failures
            cause = classify(found.exit_code, oom_killed=found.oom_killed, log=found.log, failures=failures)
            self._died(cause, exit_words(found.exit_code), found.log)

    def _died(self, cause: Cause, words: str, log: tuple[str, ...]) -> None:
        """Say why, count it, and plan what follows."""
        was_ready = self._facts.state == "ready"
        self._condemned = self._container.container_id if self._container else None
        self._container = None
        now = self._wall()
        decision = decide(self._wanted.spec.restart, self._history, cause, now)
        self._remember(decision.history)
        text = last_words(words, cause, log)
        self._voice.emit("engine.died", "error", text, cause=cause.name, restarts=self._facts.restarts)
        attempts = (*self._facts.attempts, text)[-ATTEMPTS_KEPT:]
        facts = replace(self._facts, ready_since=None, pid=None, attempts=attempts, cause=cause.name)
        self._facts = replace(facts, restarts=facts.restarts + 1)
        if decision.gave_up:
            self._give_up(text, decision.delay_s, was_ready=was_ready)
            return
        self._facts = replace(self._facts, next_try_at=now + decision.delay_s)
        self._show("backoff", text)
        if decision.delay_s:
            self.context.after(decision.delay_s, _Again())
        else:
            self._observe()

    def _give_up(self, text: str, delay_s: float, *, was_ready: bool) -> None:
        failure = Failure(code="E_ENGINE", what=f"engine {self._wanted.name} does not run", why=text[:4_000], do="")
        self._answer("failed", failure)
        if (
            self._bad is None
            and self._good is not None
            and self._good.generation != self._wanted.generation
            and not was_ready
        ):
            self._roll_back(text)
            return
        self._facts = replace(self._facts, next_try_at=self._wall() + delay_s)
        self._show("gave_up", text)
        self._voice.emit(
            "engine.gave_up", "critical", f"{text}; the next try is in {delay_s:.0f} s", next_try_s=delay_s
        )
        self.context.after(delay_s, _Again())

    def _roll_back(self, why: str) -> None:
        assert self._good is not None
        bad, good = self._wanted, self._good
        self._wanted, self._bad = replace(good, generation=bad.generation, command_id=""), bad.generation
        self._memory.remember_bad(bad.generation)
        self._voice.emit(
            "engine.rolled_back",
            "error",
            f"generation {bad.generation} does not run ({why}); the last good one is back",
        )
        self._remember(History())
        self._observe()

    def _step_failed(self, failed: TaskFailed) -> None:
        """A step that raised: refused for good, or Docker is away for a while."""
        if failed.kind == "Cancelled":
            self._observe()
            return
        self._voice.log.warning("engine.step_failed", step=failed.name, why=failed.error)
        if failed.name == "launch" and failed.kind in HOPELESS:
            policy = self._wanted.spec.restart
            self._give_up(failed.error, policy.retry_after_giving_up_s, was_ready=False)
            return
        if failed.name == "launch":
            self._died(CAUSES["exited"], f"it could not be started: {failed.error}", ())
            return
        self._show(self._facts.state, f"Docker: {failed.error}")
        self.context.after(DOCKER_RETRY_S, _Probe() if failed.name == "probe" else _Again())

    # -- commands --------------------------------------------------------------------------------------------

    def _become(self, wanted: say.Wanted) -> None:
        if wanted.generation <= self._wanted.generation:
            self._said_again(wanted.command_id)
            return
        self._answer("cancelled", Failure(code="E_STALE", what="a newer command took its place"))
        self._wanted, self._bad = wanted, None
        self._voice.wait(wanted.command_id)
        self._remember(History())
        self._facts = replace(self._facts, model=wanted.spec.model.uri, kind=wanted.spec.kind)
        self._show("starting", f"becoming generation {wanted.generation}")
        self._interrupt()

    def _said_again(self, command_id: str) -> None:
        """A command that is being done or was done: nothing is done twice, and its end is told again."""
        if not self._voice.wait(command_id):
            return
        state = self._facts.state
        if state == "gave_up" or self._bad is not None:
            what = f"engine {self._wanted.name} does not run"
            self._answer("failed", Failure(code="E_ENGINE", what=what, why=self._facts.why[:4_000]))
        elif state == "ready":
            self._answer("done")

    def _end(self, ask: say.StopEngine | say.RestartEngine) -> None:
        before, stop = self._ending, isinstance(ask, say.StopEngine)
        done = {self._wanted.command_id, self._container.command_id if self._container else ""}
        superseded = Failure(code="E_STALE", what="another command took its place")
        if before is not None and before.command_id == ask.command_id:
            return
        if not stop and ask.command_id in done:
            self._said_again(ask.command_id)
        elif not stop and isinstance(before, say.StopEngine):
            self._voice.answer(ask.command_id, "cancelled", superseded)
        else:
            if before is not None:
                self._voice.answer(before.command_id, "cancelled", superseded)
            if stop:
                self._answer("cancelled", Failure(code="E_STALE", what="the engine was stopped meanwhile"))
            self._ending = ask
            self._show("draining", "asked to stop" if stop else "asked to restart")
            self._interrupt()

    def _interrupt(self) -> None:
        self._observe() if self._task is None else self._task.cancel()

    def _did_end(self, _value: object) -> None:
        ask, self._ending, self._container = self._ending, None, None
        assert ask is not None
        if isinstance(ask, say.RestartEngine):
            # The next container carries the command's id: found again, the command is known to be done.
            self._wanted = replace(self._wanted, command_id=ask.command_id)
            self._voice.wait(ask.command_id)
            self._voice.emit("engine.restarting", "info", "restarted by command")
            self._observe()
        elif self._wanted.generation > ask.generation:
            self._voice.answer(ask.command_id, "done")
            self._observe()
        else:
            self._stopped(ask)

    def _stopped(self, ask: say.StopEngine) -> None:
        self._show("stopped", "stopped by command")
        self._world.ports.free(self._wanted.name)
        self._world.models.release(self._wanted.name)
        self._memory.forget()
        self._voice.emit("engine.stopped", "info", "stopped by command")
        self._voice.to_manager(say.Gone(self._wanted.name, ask.generation, ask.command_id))

    # -- telling ---------------------------------------------------------------------------------------------

    def _remember(self, history: History) -> None:
        self._history = history
        self._memory.remember_history(history)

    def _show(self, state: str, why: str) -> None:
        self._facts = replace(self._facts, state=state, why=why)
        self._voice.show(self._facts)

    def _answer(self, state: Ending, error: Failure | None = None) -> None:
        """Tell whoever waits for this engine."""
        data = {"endpoint": self._facts.endpoint, "container_id": self._facts.container_id} if state == "done" else {}
        self._voice.answer_all(state, error, data)
