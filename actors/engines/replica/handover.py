"""The next generation of an engine, brought up beside the one that serves, and proven before it takes its place.

It has tasks of its own, so the one that serves is looked after all the while. It gets one try: whatever goes wrong, it
is taken away and the old one has served without a gap.
"""

from dataclasses import dataclass
from typing import Any

from actors.engines.containers_api import Observed
from actors.engines.failures import CAUSES, Cause, classify, exit_words, of_start
from actors.engines.kinds.base import Kind
from actors.engines.messages import Wanted
from actors.supervision.context import Context
from actors.supervision.messages import TaskDone, TaskFailed
from actors.supervision.tasks import Task

from . import steps
from .drain import end
from .health import BUSY_PROBE_S, Patience, Seen, Verdict, start_budget_s
from .tries import Death
from .voice import Voice
from .weights import keep, release
from .world import World

PREFIX = "next_"
"""Of its tasks' names."""
DOCKER_RETRY_S = 2.0
PROVE_LOOK_S = 0.5
"""Between two looks at one that has to prove itself."""
HOPELESS = frozenset({"RefusedError", "ImageError"})


@dataclass(frozen=True, slots=True)
class NextLook:
    """To the actor, for the handover of this generation: look again."""

    generation: int


@dataclass(frozen=True, slots=True)
class Retry:
    """To the actor, for the handover of this generation: this step again."""

    generation: int
    step: str


@dataclass(frozen=True, slots=True)
class Proven:
    """It serves and was healthy for long enough."""

    seen: Observed
    patience: Patience
    took_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It does not run."""

    cause: Cause
    words: str
    autopsy: steps.Autopsy | None = None

    def death(self, at: float) -> Death:
        """For the black box."""
        return Death(at, self.cause, self.words, self.autopsy)


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was left of it is gone."""


Outcome = Proven | Failed | Cleared | None


class Handover:
    """Of one generation; `took` is given what its tasks bring, and says when it has an end."""

    def __init__(self, wanted: Wanted, kind: Kind, world: World, voice: Voice, context: Context) -> None:
        self.wanted = wanted
        self._kind, self._world, self._voice, self._context = kind, world, voice, context
        self._patience = Patience(0.0)
        self._ready_at: float | None = None
        self._budget_s = 0.0
        self.seen: Observed | None = None
        self._task: Task | None = None
        self._given_up = self._dead = False
        self._early: str | None = None
        """A container that Docker called dead, perhaps before its start was through."""
        self._flag = context.flag()

    @property
    def holder(self) -> str:
        """Who has its port and its model while both generations are here."""
        return f"{self.wanted.name}+next"

    def begin(self) -> None:
        """Find what an earlier daemon left of it, or launch it."""
        self._start("launch", self._launch)

    def give_up(self) -> None:
        """Something else is wanted: take it away. Cleared follows."""
        self._given_up = True
        if self._task is not None:
            self._task.cancel()
        else:
            self._clear()

    def _start(self, name: str, fn: Any, *args: object) -> None:
        self._flag = self._context.flag()
        self._task = self._context.task(f"{PREFIX}{name}", fn, *args, cancel=self._flag.set)

    def _launch(self) -> steps.Launched:
        for found in steps.observe(self._world, self.wanted.name):
            if found.generation == self.wanted.generation:
                if found.running and self.seen is None:
                    model_bytes = keep(self._world.models, self.wanted.spec, self.holder)
                    self._world.ports.keep(self.holder, found.port)
                    return steps.Launched(found, model_bytes)
                end(self._world, self._kind, (found,), 0.0, self._flag)
        progress = self._voice.progress
        return steps.launch(self._world, self.wanted, self._kind, progress, self._flag, self.holder)

    def _clear(self) -> None:
        self._start("clear", self._run_clear)

    def _run_clear(self) -> None:
        found = [
            one for one in steps.observe(self._world, self.wanted.name) if one.generation == self.wanted.generation
        ]
        end(self._world, self._kind, found, 0.0, self._flag)
        self._world.ports.free(self.holder)
        release(self._world.models, self.holder)

    def look(self) -> None:
        """Look at it, unless something else is under way."""
        if self._task is not None or self.seen is None or self._given_up:
            return
        ready, now = self._ready_at is not None, self._context.now()
        probes = self.wanted.spec.probes
        asked = self._patience.asked(probes, self._world.rules, now, ready=ready, budget_s=self._budget_s)
        self._start("look", steps.look, self._world, self.wanted, self._kind, self.seen, asked)

    def changed(self, container_id: str) -> None:
        """Docker says that a container died; ours is examined."""
        self._early = container_id
        if self.seen is None or self.seen.container_id != container_id or self._given_up:
            return
        self._dead = True  # a look that is under way ends soon, and then it is examined
        if self._task is None:
            self._start("autopsy", steps.autopsy, self._world, container_id)

    def took(self, message: TaskDone | TaskFailed) -> Outcome:
        """What a task of it brought."""
        self._task = None
        name = message.name.removeprefix(PREFIX)
        if isinstance(message, TaskFailed):
            return self._step_failed(name, message)
        if name == "clear":
            return Cleared()
        if self._given_up:
            self._clear()
            return None
        match message.value:
            case steps.Launched(seen=seen, model_bytes=model_bytes):
                self.seen = seen
                self._patience = Patience(self._context.now())
                self._budget_s = start_budget_s(self.wanted.spec.probes, model_bytes)
                if self._early == seen.container_id or not seen.running:
                    self.changed(seen.container_id)
                else:
                    self.look()
            case Seen() as seen_now:
                return self._looked(seen_now)
            case steps.Autopsy() as found:
                return self._autopsied(found)
            case _:
                pass
        return None

    def _looked(self, seen: Seen) -> Outcome:
        now, probes = self._context.now(), self.wanted.spec.probes
        if self._ready_at is None:
            verdict, self._patience = self._patience.loading(seen, probes, now, self._budget_s)
            if verdict is Verdict.READY:
                self._ready_at = now
        else:
            verdict, self._patience = self._patience.serving(seen, probes, now)
        if verdict is Verdict.DEAD and self._patience.cause is not None:
            return Failed(self._patience.cause, self._patience.words)
        if self._ready_at is not None and now - self._ready_at >= self._world.settings.prove_s:
            assert self.seen is not None
            return Proven(self.seen, self._patience, self._ready_at - self._patience.loading_since)
        if self._dead and self.seen is not None:
            self._start("autopsy", steps.autopsy, self._world, self.seen.container_id)
            return None
        self._context.after(
            self._patience.wait_s if self._ready_at is None else PROVE_LOOK_S, NextLook(self.wanted.generation)
        )
        return None

    def _autopsied(self, found: steps.Autopsy) -> Outcome:
        self._dead = False
        if found.running:
            self._context.after(BUSY_PROBE_S, NextLook(self.wanted.generation))
            return None
        if found.removed:
            return Failed(CAUSES["removed"], "its container is gone")
        failures = self._kind.traits.failures
        cause = classify(found.exit_code, oom_killed=found.oom_killed, log=found.log, failures=failures)
        return Failed(cause, exit_words(found.exit_code), found)

    def _step_failed(self, name: str, failed: TaskFailed) -> Outcome:
        """Docker away is waited for; a refusal is the end."""
        if failed.kind == "DockerDownError" or name in {"clear", "look"}:
            self._context.after(
                DOCKER_RETRY_S,
                NextLook(self.wanted.generation)
                if self.seen is not None and name != "clear"
                else Retry(self.wanted.generation, name),
            )
            return None
        if self._given_up:
            self._clear()
            return None
        if failed.kind in HOPELESS:
            return Failed(CAUSES["not_started"], failed.error)
        return Failed(of_start(failed.error), failed.error)

    def retry(self, step: str) -> None:
        """A step that Docker's absence stopped."""
        if self._task is not None:
            return
        if step == "clear" or self._given_up:
            self._clear()
        elif self.seen is None:
            self.begin()
