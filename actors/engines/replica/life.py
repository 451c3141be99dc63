"""An engine's life: what is there, starting, health and deaths. What commands do to it is in actor.py.

Docker is only ever called in the actor's own task threads, one at a time, so that it always answers.
"""

from dataclasses import replace

from actors.clock import WallClock
from actors.engines import messages as say
from actors.engines.containers_api import Observed
from actors.engines.failures import CAUSES, Cause, classify, exit_words, of_start
from actors.engines.kinds.base import Kind
from actors.engines.restarts import HEALTHY_S
from actors.facts import EngineFacts
from actors.supervision.actor import Actor
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskFailed
from actors.supervision.tasks import Task
from protocol.messages.reports import Failure

from . import steps
from .drain import end
from .found import Adopt, Clear, Examine, Launch
from .found import decide as decide_found
from .health import BUSY_PROBE_S, Patience, Seen, Verdict, start_budget_s
from .inquest import Inquest
from .memory import Memory
from .tries import Death, Tries, less
from .update import Update
from .voice import Ending, Voice
from .weights import keep
from .world import World

DOCKER_RETRY_S = 2.0
BUSY_RETRY_S = 0.02
"""Until a death is looked at again while another step, a look at its health, has not ended."""
RANK = "a rank of an engine across servers that takes no requests"
HOPELESS = frozenset({"RefusedError", "ImageError"})
"""Failures of a launch that come back for ever unless somebody changes something."""


class Again:
    """To itself: look at what is there and go on."""


class Probe:
    """To itself: look at the engine's health."""


class Retire:
    """To itself: take away a container that was given up and may still run."""


class Life(Actor):
    """See the module. `world` has Docker, models and ports; `kind` knows the engine's words."""

    _tries: Tries
    _update: Update
    _inquest: Inquest

    def __init__(
        self, *, wanted: say.Wanted, kind: Kind, world: World, manager: Handle, journal_handle: Handle, wall: WallClock
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
        self._budget_s = 0.0
        self._ready_at: float | None = None
        self._early: str | None = None
        """A container that Docker called dead before its start was through."""
        self._oom: str | None = None
        """A container in which something met its memory limit."""
        self._safe_mode = ""
        """In which way it runs with less than its spec says; empty when it does not."""

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
        if self._facts.state == "stopped":
            return  # its actor is about to be taken away
        self._step("observe", steps.observe, self._world, self._wanted.name)

    def _did_observe(self, found: tuple[Observed, ...]) -> None:
        self._restarted_before(found)
        if self._ending is not None:
            if not self._update.bringing:  # what it began has to end first
                self._step("end", self._run_end, found, self._ending.drain_s)
            return
        shown = self._update.others(found)
        known = self._container.container_id if self._container else None
        match decide_found(shown, self._wanted.generation, known, self._condemned):
            case Adopt(seen=seen):
                self._adopt(seen)
            case Clear(containers=containers):
                self._step("clear", self._run_end, containers, self._drain_s(containers))
            case Examine(container_id=container_id):
                self._container_changed(container_id)
            case Launch():
                self._launch()

    def _restarted_before(self, found: tuple[Observed, ...]) -> None:
        """A restart that comes again after a crash of ours: where its container is here, it has been done."""
        ask = self._ending
        if not isinstance(ask, say.RestartEngine):
            return
        if any(one.running and one.command_id == ask.command_id for one in found):
            self._ending = None
            self._wanted = replace(self._wanted, command_id=ask.command_id)
            self._voice.wait(ask.command_id)

    def _drain_s(self, containers: tuple[Observed, ...]) -> float:
        """What served until now may finish its requests; what was found sick, or never served, may not."""
        healthy = all(one.container_id != self._condemned for one in containers)
        return self._world.settings.drain_s if healthy else 0.0

    def _run_end(self, found: tuple[Observed, ...], drain_s: float) -> None:
        end(self._world, self._kind, found, drain_s, self._cancel)

    def _did_clear(self, _value: object) -> None:
        self._container = None
        self._observe()

    def _adopt(self, seen: Observed) -> None:
        known = self._container is not None and self._container.container_id == seen.container_id
        self._container = seen
        self._world.ports.keep(self._wanted.name, seen.port)
        model_bytes = keep(self._world.models, self._wanted.spec, self._wanted.name)
        if known and self._facts.state in {"loading", "ready"}:
            return
        if not known:
            self._voice.emit("engine.adopted", "info", f"container {seen.container_id[:12]} was running and is adopted")
        self._started(seen, "adopted; waiting for its health", model_bytes)

    # -- starting --------------------------------------------------------------------------------------------

    def _launch(self) -> None:
        straight = self._update.straight()
        if straight is not None:  # the one that it was to stand beside is gone
            self._wanted = straight
            self._observe()
            return
        if self._step("launch", self._run_launch, self._modest()):
            self._show("starting", "image, container, start")

    def _modest(self) -> say.Wanted:
        spec = self._tries.modest(self._wanted.spec)
        self._safe_mode = "" if spec is None else f"safe mode: {less(self._wanted.spec, spec)}, for want of memory"
        if spec is None:
            return self._wanted
        self._voice.emit("engine.safe_mode", "warning", self._safe_mode)
        return replace(self._wanted, spec=spec)

    def _run_launch(self, wanted: say.Wanted) -> steps.Launched:
        progress, turn = self._voice.progress, self._facts.restarts
        return steps.launch(self._world, wanted, self._kind, progress, self._cancel, wanted.name, turn)

    def _did_launch(self, launched: steps.Launched) -> None:
        seen = launched.seen
        if self._ending is not None or seen.generation != self._wanted.generation:
            self._observe()  # something else is wanted since
            return
        self._container = seen
        self._voice.log.info("engine.container", container=seen.container_id[:12], port=seen.port)
        self._started(seen, "loading the model", launched.model_bytes)
        self._sweep()
        if self._early == seen.container_id or not seen.running:
            self._container_changed(seen.container_id)

    def _started(self, seen: Observed, why: str, model_bytes: int) -> None:
        self._patience = Patience(self.context.now())
        self._budget_s = start_budget_s(self._wanted.spec.probes, model_bytes)
        self._facts = steps.facts_of(self._facts, self._world, self._wanted, self._kind, seen)
        self._show("loading", why)
        self._probe()

    # -- health ----------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        if self._facts.state not in {"loading", "ready"} or self._container is None:
            return
        ready, now = self._facts.state == "ready", self.context.now()
        probes, rules = self._wanted.spec.probes, self._world.rules
        asked = self._patience.asked(probes, rules, now, ready=ready, budget_s=self._budget_s)
        if not self._step("probe", steps.look, self._world, self._wanted, self._kind, self._container, asked):
            self.context.after(BUSY_PROBE_S, Probe())

    def _did_probe(self, seen: Seen) -> None:
        state, probes, now = self._facts.state, self._wanted.spec.probes, self.context.now()
        if self._ending is not None or state == "starting":
            self._observe()  # something else is wanted since the look began
            return
        if state == "loading":
            verdict, self._patience = self._patience.loading(seen, probes, now, self._budget_s)
        elif state == "ready":
            verdict, self._patience = self._patience.serving(seen, probes, now)
        else:
            return
        if verdict is Verdict.DEAD and self._patience.cause is not None:
            cause, words = self._patience.cause, self._patience.words
            if not self._step("postmortem", self._run_postmortem, cause.name, words):
                self._died(Death(self._wall(), cause, words))
            return
        if verdict is Verdict.READY:
            self._serves(first=state == "loading")
        self.context.after(self._patience.wait_s, Probe())

    def _serves(self, *, first: bool) -> None:
        if first:
            self._ready()
        elif self._ready_at is not None and self._tries.any and self.context.now() - self._ready_at > HEALTHY_S:
            self._tries.forget()

    def _ready(self) -> None:
        if self._bad is None:
            self._good = self._wanted
            self._memory.remember_good(self._good)
        self._ready_at = self.context.now()
        at = f" at {self._facts.endpoint}" if self._facts.endpoint else f": {RANK}"
        took_s = self._update.took_s = self._ready_at - self._patience.loading_since
        self._facts = replace(self._facts, ready_since=self._wall(), next_try_at=None)
        self._show("ready", self._safe_mode or ("" if self._wanted.spec.serves else RANK))
        self._voice.emit("engine.ready", "info", f"ready after {took_s:.1f} s{at}", took_s=took_s)
        self._answer("done")
        if not self._update.occupied:
            self._settled()
        self._update.resume()

    # -- deaths ----------------------------------------------------------------------------------------------

    def _container_changed(self, container_id: str, exit_code: int | None = None) -> None:
        self._early = container_id
        if self._container is None or container_id != self._container.container_id or self._ending is not None:
            return
        if self._facts.state not in {"loading", "ready"}:
            return
        served = self._facts.state == "ready" and self._task is None
        if exit_code is not None and served and self._tries.at_once(self._wanted.spec.restart, self._wall()):
            self._died(self._inquest.open(container_id, exit_code, oom=self._oom == container_id))
            return
        if not self._step("autopsy", self._run_autopsy, container_id, exit_code, self._oom == container_id):
            self.context.after(BUSY_RETRY_S, say.ContainerChanged(container_id, "die", exit_code))

    def _run_autopsy(self, container_id: str, exit_code: int | None, oom: bool) -> steps.Autopsy:
        return steps.autopsy(self._world, container_id, exit_code, oom=oom)

    def _did_autopsy(self, found: steps.Autopsy) -> None:
        if self._ending is not None or self._facts.state not in {"loading", "ready"}:
            self._observe()
        elif found.running:
            self._probe()
        elif found.removed:
            self._died(Death(self._wall(), CAUSES["removed"], "its container is gone"))
        else:
            failures = self._kind.traits.failures
            cause = classify(found.exit_code, oom_killed=found.oom_killed, log=found.log, failures=failures)
            self._died(Death(self._wall(), cause, exit_words(found.exit_code), found))

    def _run_postmortem(self, cause: str, words: str) -> tuple[str, str, steps.Autopsy]:
        """The words of one that runs and does not serve, before it is taken away."""
        assert self._container is not None
        return cause, words, steps.autopsy(self._world, self._container.container_id)

    def _did_postmortem(self, found: tuple[str, str, steps.Autopsy]) -> None:
        if self._ending is not None or self._facts.state not in {"loading", "ready"}:
            self._observe()
            return
        cause, words, autopsy = found
        self._died(Death(self._wall(), CAUSES[cause], words, autopsy))

    def _died(self, death: Death) -> None:
        """Say why, count it, and plan what follows."""
        was_ready = self._facts.state == "ready"
        self._condemned = self._container.container_id if self._container else None
        self._container = None
        decision = self._tries.died(death, self._wanted.spec.restart, served=was_ready)
        text, name = death.text, death.cause.name
        self._voice.emit("engine.died", "error", text, cause=name, restarts=self._facts.restarts)
        facts = replace(self._facts, ready_since=None, pid=None, attempts=self._tries.lines, cause=name)
        self._facts = replace(facts, restarts=facts.restarts + 1)
        if decision.gave_up:
            self._give_up(text, decision.delay_s, was_ready=was_ready)
            return
        self._facts = replace(self._facts, next_try_at=self._wall() + decision.delay_s)
        self._show("backoff", text)
        if decision.delay_s:
            self.context.after(decision.delay_s, Again())
        elif death.over:
            self._launch()  # at once: what is dead is swept away afterwards
        else:
            self._observe()

    def _cause_learned(self, cause: Cause | None) -> None:
        """What is left of the dead one says more than its death did: what was told is put right."""
        if self._facts.attempts != self._tries.lines:
            name = cause.name if cause else self._facts.cause
            self._facts = replace(self._facts, attempts=self._tries.lines, cause=name)
            self._show(self._facts.state, self._facts.why)
        if cause is not None:
            self._voice.emit("engine.cause", "warning", f"why it died: {cause.why}; {cause.do}", cause=cause.name)

    def _sweep(self) -> None:
        if self._condemned is not None:
            self._inquest.sweep(self._condemned)

    def _give_up(self, text: str, delay_s: float, *, was_ready: bool) -> None:
        self._answer("failed", self._failure(text))
        good = self._good
        if self._bad is None and good is not None and good.generation != self._wanted.generation and not was_ready:
            self._roll_back(good, text)
            return
        self._facts = replace(self._facts, next_try_at=self._wall() + delay_s)
        self._show("gave_up", text)
        words = f"{text}; the next try is in {delay_s:.0f} s"
        self._voice.emit("engine.gave_up", "critical", words, next_try_s=delay_s)
        self.context.after(delay_s, Again())
        self._retire()

    def _retire(self) -> None:
        """What is given up holds no GPU and no memory until the next try."""
        if self._facts.state == "gave_up" and self._condemned is not None:
            self._step("retire", self._run_retire, self._condemned)

    def _run_retire(self, container_id: str) -> None:
        found = [one for one in steps.observe(self._world, self._wanted.name) if one.container_id == container_id]
        end(self._world, self._kind, found, 0.0, self._cancel)

    def _did_retire(self, _value: object) -> None:
        if self._facts.state != "gave_up":
            self._observe()  # something else is wanted since

    def _roll_back(self, good: say.Wanted, why: str) -> None:
        bad, self._wanted = self._wanted, good
        self._bad = bad.generation
        self._memory.remember_bad(bad, why)
        words = f"generation {bad.generation} does not run ({why}); the last good one is back"
        self._voice.emit("engine.rolled_back", "error", words)
        self._tries.forget()
        self._observe()

    def _step_failed(self, failed: TaskFailed) -> None:
        """A step that raised: refused for good, or Docker is away for a while."""
        if failed.kind == "Cancelled":
            self._observe()
            return
        self._voice.log.warning("engine.step_failed", step=failed.name, why=failed.error)
        if failed.name == "retire":
            self.context.after(DOCKER_RETRY_S, Retire() if self._facts.state == "gave_up" else Again())
            return
        if failed.name == "launch" and failed.kind in HOPELESS:
            policy = self._wanted.spec.restart
            self._tries.note(Death(self._wall(), CAUSES["not_started"], failed.error))
            self._facts = replace(self._facts, attempts=self._tries.lines)
            self._give_up(failed.error, policy.retry_after_giving_up_s, was_ready=False)
            return
        if failed.name == "launch" and failed.kind != "DockerDownError":
            self._died(Death(self._wall(), of_start(failed.error), f"it could not be started: {failed.error}"))
            return
        self._show(self._facts.state, f"Docker does not answer; nothing is touched: {failed.error}")
        self.context.after(DOCKER_RETRY_S, Probe() if failed.name in {"probe", "postmortem"} else Again())

    # -- telling ---------------------------------------------------------------------------------------------

    def _show(self, state: str, why: str) -> None:
        self._facts = replace(self._facts, state=state, why=why)
        self._voice.show(self._facts)

    def _settled(self) -> None:
        newest = max(self._wanted.generation, self._bad or 0)
        self._voice.to_manager(say.Settled(self._wanted.name, newest, self._wanted.gpus))

    def _failure(self, why: str) -> Failure:
        return Failure(code="E_ENGINE", what=f"engine {self._wanted.name} does not run", why=why[:4_000], do="")

    def _answer(self, state: Ending, error: Failure | None = None) -> None:
        """Tell whoever waits for this engine; who waits for an update hears of that one's end alone."""
        if self._update.busy:
            return
        data = {"endpoint": self._facts.endpoint, "container_id": self._facts.container_id} if state == "done" else {}
        self._voice.answer_all(state, error, data)
