"""How an engine's container ends unasked: why, what follows, and when it is given up."""

from dataclasses import replace

from actors.engines import messages as say
from actors.engines.failures import CAUSES, Cause, classify, exit_words, of_start
from actors.supervision.messages import TaskFailed

from . import steps
from .base import Again, Probe, Replica, Retire
from .drain import end
from .tries import Death

DOCKER_RETRY_S = 2.0
BUSY_RETRY_S = 0.02
"""Until a death is looked at again while another step, a look at its health, has not ended."""
HOPELESS = frozenset({"RefusedError", "ImageError"})
"""Failures of a launch that come back for ever unless somebody changes something."""


class Deaths(Replica):
    """See the module."""

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
            self._launch(after=self._condemned)  # at once: what is dead is swept away afterwards
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
