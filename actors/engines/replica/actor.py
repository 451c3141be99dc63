"""One engine's actor: brings its container to what is wanted and keeps it there.

A crash or stop of this actor leaves the container alone; the next incarnation finds it by its labels and adopts it.
A new generation that comes up beside this one has an object of its own (handover.py); update.py decides about it.
"""

from dataclasses import replace

from actors.engines import messages as say
from actors.supervision.messages import TaskDone, TaskFailed
from protocol.messages.reports import Failure

from . import handover, steps
from .base import Again, Probe, Retire
from .handover import Failed, Proven
from .inquest import Inquest, Late
from .life import Life
from .orders import Order, follow
from .tries import Tries, boxes_of
from .update import Outcome, Update
from .weights import release


class EngineActor(Life):
    """See the module: messages and commands."""

    # -- messages --------------------------------------------------------------------------------------------

    def on_start(self) -> object:
        """Remember what is wanted and what happened before, then look at what is there."""
        known = self._memory.recall(self._wanted)
        newest = known.beside or known.wanted
        if self._wanted.generation not in {newest.generation, known.bad}:
            self._voice.waiting.clear()
        self._wanted, self._good, self._bad = known.wanted, known.good, known.bad
        self._tries = Tries(self._memory, known.history, boxes_of(known.boxes))
        self._inquest = Inquest(self._kind, self._world, self._tries, self.context, self._wall)
        self._update = Update(self._kind, self._world, self._voice, self._memory, self.context, known.beside)
        self._facts = replace(self._facts, attempts=self._tries.lines)
        self._show("starting", "looking for its container")
        if self.context.incarnation > 1:
            self._voice.commands_again()  # those that the one before had begun
        self._observe()
        return None

    def on_message(self, message: object) -> object:
        """One message; the result of a step is one too."""
        match message:
            case TaskDone(name=name) | TaskFailed(name=name) if self._update.owns(name):
                self._update_took(self._update.took(message))
            case TaskDone(name=name) | TaskFailed(name=name) if self._inquest.owns(name):
                self._cause_learned(self._inquest.took(message))
            case TaskDone(name=name, value=value):
                self._task = None
                getattr(self, f"_did_{name}")(value)
            case TaskFailed():
                self._task = None
                self._step_failed(message)
            case Probe():
                self._probe()
            case Again():
                self._observe()
            case handover.NextLook() | handover.Retry():
                self._update.again(message)
            case Late():
                self._inquest.read()
            case Retire():
                self._retire()
            case say.LookAgain():
                if self._facts.state not in {"backoff", "gave_up"}:  # those have their own time
                    self._observe()
            case say.ContainerChanged(container_id=container_id, action="oom"):
                self._oom = container_id
            case say.ContainerChanged(container_id=container_id, exit_code=exit_code):
                self._update.changed(container_id)
                self._container_changed(container_id, exit_code)
            case say.Become():
                self._become(message)
            case say.StopEngine() | say.RestartEngine():
                self._end(message)
            case _:
                self.context.unhandled(message)
        return None

    # -- commands --------------------------------------------------------------------------------------------

    def _become(self, ask: say.Become) -> None:
        wanted = ask.wanted
        if wanted.generation <= max(self._wanted.generation, self._bad or 0, self._update.generation):
            self._said_again(wanted.command_id)
            return
        self._voice.answer_all("cancelled", Failure(code="E_STALE", what="a newer command took its place"), {})
        self._voice.wait(wanted.command_id)
        if not self._update.queues(ask):
            self._take(ask)

    def _take(self, ask: say.Become) -> None:
        """Beside the old one, in its place, or not at all."""
        wanted = ask.wanted
        stopped = isinstance(self._ending, say.StopEngine)  # it begins anew: every version may be tried
        known_bad = dict(self._memory.bad_versions) if ask.update and not stopped else {}
        refused = self._update.refuses(wanted, known_bad)
        if refused:
            self._bad = wanted.generation
            self._memory.remember_bad(wanted, refused)
            self._voice.emit("engine.update_refused", "error", refused)
            self._answer("failed", self._failure(refused))
            self._settled()
            return
        self._bad = None
        serving = self._facts.state == "ready" and self._ending is None and self._good is not None
        if serving and self._update.beside(self._wanted, ask):
            self._show("ready", f"generation {wanted.generation} comes up beside it")
            return
        self._wanted = wanted
        self._tries.forget()
        self._facts = replace(self._facts, model=wanted.spec.model.uri, kind=wanted.spec.kind)
        self._show("starting", f"becoming generation {wanted.generation}")
        self._interrupt()

    def _said_again(self, command_id: str) -> None:
        """A command that is being done or was done: nothing is done twice, and its end is told again."""
        if not self._voice.wait(command_id) or self._update.busy:
            return
        state = self._facts.state
        if state == "gave_up" or self._bad is not None:
            self._answer("failed", self._failure(self._facts.why))
        elif state == "ready":
            self._answer("done")

    def _end(self, ask: say.StopEngine | say.RestartEngine) -> None:
        done = {self._wanted.command_id, self._container.command_id if self._container else ""}
        busy = self._update.busy and isinstance(ask, say.RestartEngine)
        match follow(self._ending, ask, done, updating=busy, stopped=self._facts.state == "stopped"):
            case Order.KNOWN:
                return
            case Order.DONE:
                self._said_again(ask.command_id)
                return
            case Order.LATE:
                self._voice.answer(ask.command_id, "cancelled", Failure(code="E_STALE", what="another command rules"))
                return
            case Order.BUSY:
                what = Failure(code="E_BUSY", what="an update is under way", do="wait for its end, or stop the engine")
                self._voice.answer(ask.command_id, "failed", what)
                return
            case Order.OBEY:
                pass
        stop, before = isinstance(ask, say.StopEngine), self._ending
        if before is not None:
            self._voice.answer(before.command_id, "cancelled", Failure(code="E_STALE", what="another command rules"))
        self._ending = ask
        self._voice.carry(ask.command_id)
        if stop:
            self._update.give_up()
            self._voice.answer_all("cancelled", Failure(code="E_STALE", what="the engine was stopped meanwhile"), {})
        self._show("draining", "asked to stop" if stop else "asked to restart")
        self._interrupt()

    def _interrupt(self) -> None:
        self._observe() if self._task is None else self._task.cancel()

    def _did_end(self, _value: object) -> None:
        """What was commanded since is taken first: it decides what follows."""
        waited = self._update.unqueue()
        if waited is not None:
            self._take(waited)
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
            self._good = None  # it was stopped: nothing stands in for the one that follows
            self._memory.forget()
            self._observe()
        else:
            self._stopped(ask)

    def _stopped(self, ask: say.StopEngine) -> None:
        self._show("stopped", "stopped by command")
        self._world.ports.free(self._wanted.name)
        for holder in (self._wanted.name, f"{self._wanted.name}+last"):
            release(self._world.models, holder)
        self._memory.forget()
        self._voice.emit("engine.stopped", "info", "stopped by command")
        self._voice.to_manager(say.Gone(self._wanted.name, ask.generation, ask.command_id))

    # -- updates ---------------------------------------------------------------------------------------------

    def _update_took(self, outcome: Outcome) -> None:
        """The new generation has proven itself, or not; or what was left of it, or of the old one, is gone."""
        match outcome:
            case None:
                return
            case Proven():
                self._switch(outcome)
            case Failed():
                self._update_failed(outcome)
            case _:
                if not self._update.occupied:
                    self._settled()
        if self._ending is not None:
            self._observe()  # what waits is taken when that has ended
            return
        queued = self._update.next()
        if queued is not None:
            self._take(queued)

    def _switch(self, proven: Proven) -> None:
        """The endpoint is the new one's from now on."""
        new = self._update.wanted
        assert new is not None
        old, container = self._wanted, self._container
        self._update.switch(old, container, proven.seen)
        self._wanted, self._container, self._condemned = new, proven.seen, None
        self._good, self._bad, self._patience = new, None, proven.patience
        self._memory.remember_good(new)
        self._tries.forget()
        self._ready_at = self.context.now()
        facts = steps.facts_of(self._facts, self._world, new, self._kind, proven.seen)
        self._facts = replace(facts, model=new.spec.model.uri, ready_since=self._wall(), next_try_at=None)
        self._show("ready", "")
        text = f"generation {new.generation} serves at {self._facts.endpoint} after {proven.took_s:.1f} s; "
        self._voice.emit("engine.updated", "info", f"{text}generation {old.generation} ends when its requests have")
        self._answer("done")
        self.context.after(self._patience.wait_s, Probe())
        if container is None:
            self._settled()

    def _update_failed(self, failed: Failed) -> None:
        """The old one has served all the while, and goes on."""
        bad = self._update.wanted
        assert bad is not None
        death = failed.death(self._wall())
        self._tries.note(death)
        self._bad = bad.generation
        self._memory.remember_bad(bad, death.text)
        self._facts = replace(self._facts, attempts=self._tries.lines)
        words = (
            f"generation {bad.generation} does not run ({death.text}); generation {self._wanted.generation} serves on"
        )
        self._voice.emit("engine.rolled_back", "error", words, cause=death.cause.name)
        self._show(self._facts.state, words)
        self._voice.answer_all("failed", self._failure(death.text), {})
