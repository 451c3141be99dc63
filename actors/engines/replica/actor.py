"""One engine: brings its container to what is wanted and keeps it there.

A crash or stop of this actor leaves the container alone; the next incarnation finds it by its labels and adopts it.
Docker is only ever called in the actor's own task threads, one at a time, so that it always answers.
"""

from dataclasses import dataclass, replace
from typing import Literal

import structlog

from actors.clock import WallClock
from actors.engines import messages as say
from actors.engines.containers_api import Observed
from actors.engines.failures import CAUSES, Cause, classify, exit_words
from actors.engines.kinds.base import Kind
from actors.engines.probe import Health
from actors.engines.restarts import HEALTHY_S, History, decide
from actors.facts import EngineFacts
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from actors.supervision.tasks import Task
from protocol.messages.reports import Failure

from . import steps

DOCKER_RETRY_S = 2.0
LOADING_PROBE_S = (0.1, 2.0)
"""First and longest wait between two looks at an engine that loads."""
ATTEMPTS_KEPT = 10
LOG_SHOWN_LINES = 3
JOURNAL_S = 10.0
HOPELESS = frozenset({"RefusedError", "ImageError"})
"""Failures of a launch that come back for ever unless somebody changes something."""


@dataclass(frozen=True, slots=True)
class _Again:
    """To itself: look at what is there and go on."""


@dataclass(frozen=True, slots=True)
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
        self._wanted, self._kind, self._world = wanted, kind, world
        self._manager, self._journal, self._wall = manager, journal_handle, wall
        self._facts = EngineFacts(wanted.name, wanted.spec.kind, "starting", wanted.spec.image, wanted.spec.model.uri)
        self._container: Observed | None = None
        self._task: Task | None = None
        self._waiting: list[str] = [wanted.command_id] if wanted.command_id else []
        self._ending: say.StopEngine | say.RestartEngine | None = None
        self._good: say.Wanted | None = None
        self._fails = 0
        self._loading_since = 0.0
        self._probe_s = LOADING_PROBE_S[0]
        self._log = structlog.get_logger().bind(actor="engine", engine=wanted.name)

    # -- messages --------------------------------------------------------------------------------------------

    def on_start(self) -> object:
        """Remember what happened before, then look at what is there."""
        raw = self._journal.call(journal.GetState(self._budget_key), timeout_s=JOURNAL_S)
        self._history = History.decode(raw if isinstance(raw, bytes) else None)
        self._show("starting", "looking for its container")
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
        ours = [seen for seen in found if seen.generation == self._wanted.generation]
        running = [seen for seen in ours if seen.running]
        if running:
            self._adopt(running[0])
        elif found:
            dead = [seen for seen in ours if not seen.running]
            if dead and self._container is not None and dead[0].container_id == self._container.container_id:
                self._container_changed(dead[0].container_id)
            else:
                self._step("clear", self._run_end, found, 0.0)  # what is old or dead makes room
        else:
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
            self._emit("engine.adopted", "info", f"container {seen.container_id[:12]} was running and is adopted")
        self._started(seen, "adopted; waiting for its health")

    # -- starting --------------------------------------------------------------------------------------------

    def _launch(self) -> None:
        if self._step("launch", self._run_launch):
            self._show("starting", "image, container, start")

    def _run_launch(self) -> Observed:
        return steps.launch(self._world, self._wanted, self._kind, self._pull_progress, self._cancel)

    def _pull_progress(self, stage: str, done: int, total: int) -> None:
        for command_id in tuple(self._waiting):
            self._tell(self._journal, journal.Progress(command_id, stage, done, total, "bytes"))

    def _did_launch(self, seen: Observed) -> None:
        self._container = seen
        self._log.info("engine.container", container=seen.container_id[:12], port=seen.port)
        self._started(seen, "loading the model")

    def _started(self, seen: Observed, why: str) -> None:
        endpoint = f"http://{self._world.settings.publish_address}:{seen.port}"
        metrics = self._kind.traits.metrics_path
        self._fails, self._loading_since, self._probe_s = 0, self.context.now(), LOADING_PROBE_S[0]
        self._facts = replace(
            self._facts,
            container_id=seen.container_id,
            pid=seen.pid or None,
            endpoint=endpoint,
            metrics_url=f"{endpoint}{metrics}" if metrics else None,
            generation=self._wanted.generation,
            gpus=self._wanted.gpus,
            image=self._wanted.spec.image,
        )
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
        if self._ending is not None:
            self._observe()
        elif self._facts.state == "loading":
            self._probed_loading(health)
        elif self._facts.state == "ready":
            self._probed_ready(health)

    def _probed_loading(self, health: Health) -> None:
        probes = self._wanted.spec.probes
        if health is Health.READY:
            self._ready()
            self.context.after(probes.interval_s, _Probe())
        elif self.context.now() - self._loading_since > probes.start_timeout_s:
            self._died(CAUSES["start_timeout"], f"not ready within {probes.start_timeout_s:g} s", ())
        else:
            self.context.after(self._probe_s, _Probe())
            self._probe_s = min(LOADING_PROBE_S[1], self._probe_s * 1.3)

    def _probed_ready(self, health: Health) -> None:
        probes = self._wanted.spec.probes
        self._fails = 0 if health is Health.READY else self._fails + 1
        if self._fails >= probes.failures:
            self._died(CAUSES["not_healthy"], f"its health was {health} {self._fails} times in a row", ())
            return
        since = self._facts.ready_since
        if since is not None and self._history.deaths and self._wall() - since > HEALTHY_S:
            self._remember(History())
        self.context.after(probes.interval_s, _Probe())

    def _ready(self) -> None:
        self._good = self._wanted
        took_s = self.context.now() - self._loading_since
        self._facts = replace(self._facts, ready_since=self._wall(), next_try_at=None)
        self._show("ready", "")
        self._emit("engine.ready", "info", f"ready after {took_s:.1f} s at {self._facts.endpoint}")
        self._answer("done", None)

    # -- deaths ----------------------------------------------------------------------------------------------

    def _container_changed(self, container_id: str) -> None:
        if self._container is None or container_id != self._container.container_id or self._ending is not None:
            return
        if self._facts.state not in {"loading", "ready"}:
            return
        if not self._step("autopsy", steps.autopsy, self._world, container_id):
            self.context.after(LOADING_PROBE_S[0], say.ContainerChanged(container_id, "die"))

    def _did_autopsy(self, found: steps.Autopsy) -> None:
        if found.removed:
            self._died(CAUSES["removed"], "its container is gone", ())
            return
        traits = self._kind.traits
        cause = classify(found.exit_code, oom_killed=found.oom_killed, log=found.log, failures=traits.failures)
        self._died(cause, exit_words(found.exit_code), found.log)

    def _died(self, cause: Cause, words: str, log: tuple[str, ...]) -> None:
        """Say why, count it, and plan what follows."""
        was_ready, self._container = self._facts.state == "ready", None
        now = self._wall()
        decision = decide(self._wanted.spec.restart, self._history, cause, now)
        self._remember(decision.history)
        last = " | ".join(line.strip() for line in log[-LOG_SHOWN_LINES:])
        text = f"{words}: {cause.why}; {cause.do}" + (f"; last words: {last}" if last else "")
        self._emit("engine.died", "error", text, cause=cause.name, restarts=self._facts.restarts)
        attempts = (*self._facts.attempts, text)[-ATTEMPTS_KEPT:]
        self._facts = replace(
            self._facts, ready_since=None, pid=None, attempts=attempts, restarts=self._facts.restarts + 1
        )
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
        if self._good is not None and self._good.generation != self._wanted.generation and not was_ready:
            self._roll_back(text)
            return
        self._facts = replace(self._facts, next_try_at=self._wall() + delay_s)
        self._show("gave_up", text)
        self._emit("engine.gave_up", "critical", f"{text}; the next try is in {delay_s:.0f} s", next_try_s=delay_s)
        self.context.after(delay_s, _Again())

    def _roll_back(self, why: str) -> None:
        assert self._good is not None
        bad, good = self._wanted, self._good
        self._wanted = replace(good, generation=bad.generation, command_id="")
        self._emit(
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
        self._log.warning("engine.step_failed", step=failed.name, why=failed.error)
        if failed.name == "launch" and failed.kind in HOPELESS:
            policy = self._wanted.spec.restart
            self._give_up(failed.error, policy.retry_after_giving_up_s, was_ready=False)
            return
        if failed.name == "launch":
            self._died(CAUSES["exited"], f"it could not be started: {failed.error}", ())
            return
        self._show(self._facts.state, f"Docker: {failed.error}")
        self.context.after(DOCKER_RETRY_S, _Again())

    # -- commands --------------------------------------------------------------------------------------------

    def _become(self, wanted: say.Wanted) -> None:
        self._answer("cancelled", Failure(code="E_STALE", what="a newer command took its place"))
        self._wanted = wanted
        self._waiting = [wanted.command_id] if wanted.command_id else []
        self._remember(History())
        self._facts = replace(self._facts, model=wanted.spec.model.uri, kind=wanted.spec.kind)
        self._show("starting", f"becoming generation {wanted.generation}")
        self._interrupt()

    def _end(self, ask: say.StopEngine | say.RestartEngine) -> None:
        self._ending = ask
        if isinstance(ask, say.StopEngine):
            self._answer("cancelled", Failure(code="E_STALE", what="the engine was stopped meanwhile"))
        self._show("draining", "asked to stop" if isinstance(ask, say.StopEngine) else "asked to restart")
        self._interrupt()

    def _interrupt(self) -> None:
        if self._task is None:
            self._observe()
        else:
            self._task.cancel()

    def _did_end(self, _value: object) -> None:
        ask, self._ending, self._container = self._ending, None, None
        assert ask is not None
        if isinstance(ask, say.RestartEngine):
            self._waiting = [ask.command_id]
            self._emit("engine.restarting", "info", "restarted by command")
            self._observe()
            return
        self._show("stopped", "stopped by command")
        self._world.ports.free(self._wanted.name)
        self._world.models.release(self._wanted.name)
        self._emit("engine.stopped", "info", "stopped by command")
        self._tell(self._manager, say.Gone(self._wanted.name, ask.command_id))

    # -- telling ---------------------------------------------------------------------------------------------

    @property
    def _budget_key(self) -> str:
        return f"engine.budget.{self._wanted.name}"

    def _remember(self, history: History) -> None:
        self._history = history
        self._tell(self._journal, journal.PutState(self._budget_key, history.encode()))

    def _show(self, state: str, why: str) -> None:
        self._facts = replace(self._facts, state=state, why=why)
        self._log.info("engine.state", state=state, why=why)
        self._tell(self._manager, say.Changed(self._facts))

    def _answer(self, state: Literal["done", "failed", "cancelled"], error: Failure | None) -> None:
        """Tell whoever waits for this engine."""
        data = {"endpoint": self._facts.endpoint, "container_id": self._facts.container_id} if state == "done" else {}
        for command_id in self._waiting:
            self._tell(self._journal, journal.Outcome(command_id, state, error, data))
        self._waiting = []

    def _emit(
        self,
        kind: str,
        severity: Literal["info", "warning", "error", "critical"],
        text: str,
        **fields: str | float | bool | None,
    ) -> None:
        self._tell(self._journal, journal.Emit(kind, severity, f"engine/{self._wanted.name}", text, fields))

    def _tell(self, handle: Handle, message: object) -> None:
        try:
            handle.tell(message)
        except SupervisionError as error:
            self._log.warning("not_told", to=handle.path, lost=type(message).__name__, why=str(error))
