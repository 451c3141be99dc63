"""An engine's life: what is there, starting and health. Its deaths are in deaths.py, commands in actor.py."""

from dataclasses import replace

from actors.engines import messages as say
from actors.engines.containers_api import Observed
from actors.engines.restarts import HEALTHY_S

from . import steps
from .base import Probe
from .deaths import Deaths
from .drain import end
from .found import Adopt, Clear, Examine, Launch
from .found import decide as decide_found
from .health import BUSY_PROBE_S, Patience, Seen, Verdict, start_budget_s
from .tries import Death, less
from .weights import keep

RANK = "a rank of an engine across servers that takes no requests"


class Life(Deaths):
    """See the module."""

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

    def _launch(self, after: str | None = None) -> None:
        straight = self._update.straight()
        if straight is not None:  # the one that it was to stand beside is gone
            self._wanted = straight
            self._observe()
            return
        if self._step("launch", self._run_launch, self._modest(), after):
            self._show("starting", "image, container, start")

    def _modest(self) -> say.Wanted:
        by_fraction = "memory_fraction" in self._kind.traits.features
        spec = self._tries.modest(self._wanted.spec, by_fraction=by_fraction)
        self._safe_mode = "" if spec is None else f"safe mode: {less(self._wanted.spec, spec)}, for want of memory"
        if spec is None:
            return self._wanted
        self._voice.emit("engine.safe_mode", "warning", self._safe_mode)
        return replace(self._wanted, spec=spec)

    def _run_launch(self, wanted: say.Wanted, after: str | None) -> steps.Launched:
        progress, turn = self._voice.progress, self._facts.restarts
        return steps.launch(self._world, wanted, self._kind, progress, self._cancel, wanted.name, turn, after)

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
        self._inquest.read()
        if not self._update.occupied:
            self._settled()
        self._update.resume()
