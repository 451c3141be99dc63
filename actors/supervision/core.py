"""The decisions of a supervisor: (state, event, now) -> effects. No thread, no clock, no user code.

A child that ends is restarted alone (one_for_one, dynamic) or with its group. A group restart is a plan: stop the
affected ones in reverse order, wait for the backoff of the one that failed, start in order, each after the one
before is ready. Booting is the same plan with nothing to stop, ending the one with nothing to start.
"""

from collections.abc import Iterator
from enum import StrEnum
from random import Random

from . import requests
from .backoff import Window, delay_s
from .children import PENDING, Child, Goal, Phase
from .effects import (
    Abandon,
    Arm,
    BecomeReady,
    Effect,
    Ended,
    Finish,
    Forget,
    Reply,
    Report,
    Restarting,
    RunCancel,
    SendStop,
    Spawn,
)
from .messages import ChildReply
from .signals import (
    Boot,
    Down,
    Due,
    Hung,
    Ignored,
    Kind,
    Ready,
    Recovered,
    Request,
    Shutdown,
    Signal,
    TimerFired,
)
from .spec import AutoShutdown, ChildSpec, HangAction, LimitAction, Restart, Strategy, SupervisorSpec

LOUD_AFTER = 5
"""Failures in a row after which the next one is reported as critical, once."""


class Mode(StrEnum):
    """What the supervisor as a whole is doing."""

    BOOTING = "booting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"


class Core:
    """One supervisor's state. `handle` is the only way in; it returns what the shell has to do, in order."""

    def __init__(self, spec: SupervisorSpec, rng: Random, numbers: dict[str, int] | None = None) -> None:
        self.spec, self.rng = spec, rng
        self.mode = Mode.BOOTING
        self.window = Window(spec.intensity, spec.period_s)
        numbers = numbers or {}
        self.children: dict[str, Child] = {
            child.id: Child(child, incarnation=numbers.get(child.id, 0)) for child in spec.children
        }
        self.to_stop: set[str] = set()
        self.to_start: set[str] = set()
        self.starting: str | None = None
        """The child whose Ready the plan waits for."""
        self.gate: str | None = None
        """The child whose backoff the plan waits for."""
        self._end = Finish(Kind.SHUTDOWN, "")
        self._now = 0.0
        self._out: list[Effect] = []

    # -- the way in ------------------------------------------------------------------------------------------

    def handle(self, event: Signal, now: float) -> tuple[Effect, ...]:
        """Decide. An event that comes from an earlier incarnation or phase changes nothing."""
        self._now = now
        if self.mode is not Mode.ENDED:
            self._dispatch(event)
            self._advance()
        elif isinstance(event, Request):
            requests.refuse(self, event, "stopping")
        out, self._out = tuple(self._out), []
        return out

    def _dispatch(self, event: Signal) -> None:
        match event:
            case Down() | Ready() | Ignored() | Hung() | Recovered():
                child = self.children.get(event.id)
                if child is not None and child.incarnation == event.incarnation and child.alive:
                    self._of_child(child, event)
            case TimerFired():
                child = self.children.get(event.id)
                if child is not None and child.epoch == event.epoch:
                    self._timer(child, event.due)
            case Boot():
                self.to_start = set(self.children)
            case Request():
                requests.handle(self, event)
            case Shutdown():
                self.end(Kind.SHUTDOWN, event.reason)
            case _:
                self.emit(Report("", "unknown_signal", "warning", type(event).__name__))

    def _of_child(self, child: Child, event: Down | Ready | Ignored | Hung | Recovered) -> None:
        match event:
            case Down():
                self._down(child, event)
            case Ready():
                self._ready(child, event.info)
            case Ignored():
                self._ignored(child)
            case Hung():
                self._hung(child, event)
            case Recovered():
                self._recovered(child)

    # -- what a child tells ----------------------------------------------------------------------------------

    def _ready(self, child: Child, info: object) -> None:
        if child.phase is not Phase.STARTING:
            return
        self._run(child)
        self.emit(Report(child.spec.id, "ready", incarnation=child.incarnation))
        self.answer_starter(child, ok=True, info=info)
        child.asked = child.fresh = False
        self._plan_goes_on(child)

    def _run(self, child: Child) -> None:
        epoch = child.enter(Phase.RUNNING)
        if child.failures:
            self.emit(Arm(child.spec.id, Due.RESET, epoch, child.spec.backoff.healthy_after_s))

    def _plan_goes_on(self, child: Child) -> None:
        if self.starting == child.spec.id:
            self.starting = None

    def _ignored(self, child: Child) -> None:
        self.emit(Report(child.spec.id, "ignored", incarnation=child.incarnation))
        self._plan_goes_on(child)
        if child.phase is Phase.STOPPING:
            self._stopped(child, Kind.NORMAL)
            return
        self.answer_starter(child, ok=True)
        child.asked = child.fresh = False
        child.last_reason = "ignored"
        self._ended(child, Kind.NORMAL)

    def _hung(self, child: Child, event: Hung) -> None:
        action = child.spec.hang.action
        self.emit(
            Report(
                child.spec.id,
                "hung",
                "error",
                f"{event.message} has taken {event.busy_s:.3g} s",
                child.incarnation,
                event.stack,
            )
        )
        if child.phase is Phase.RUNNING and action is not HangAction.REPORT:
            epoch = child.enter(Phase.WEDGED)
            self.emit(RunCancel(child.spec.id, child.incarnation))
            self.emit(Arm(child.spec.id, Due.GRACE, epoch, child.spec.hang.grace_s))

    def _recovered(self, child: Child) -> None:
        if child.phase is Phase.WEDGED:
            self._run(child)
        self.emit(Report(child.spec.id, "recovered", "warning", incarnation=child.incarnation))

    def _down(self, child: Child, down: Down) -> None:
        severity = "info" if down.kind.orderly else "error"
        self.emit(
            Report(
                child.spec.id,
                "down",
                severity,
                f"{down.kind}: {down.reason}",
                child.incarnation,
                down.traceback,
            )
        )
        child.last_reason = f"{down.kind}: {down.reason}"
        match child.phase:
            case Phase.STOPPING:
                self._stopped(child, down.kind)
            case Phase.STARTING:
                self._start_failed(child, down.kind, down.reason)
            case _:
                self._exited(child, down.kind)

    # -- ends ------------------------------------------------------------------------------------------------

    def _start_failed(self, child: Child, kind: Kind, reason: str) -> None:
        self._plan_goes_on(child)
        if child.asked:
            self.answer_starter(child, ok=False, error="start_failed", detail=reason)
            child.asked = False
            self._ended(child, kind, forget=child.fresh)
        elif self.mode is Mode.BOOTING and not child.restarts_total:
            self._ended(child, kind)
            self.end(Kind.START_FAILED, reason, failed=child.spec.id)
        else:
            self._fail(child, kind)

    def _exited(self, child: Child, kind: Kind) -> None:
        restart = child.spec.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not kind.orderly):
            self._fail(child, kind)
            return
        self._ended(child, kind)
        self._check_auto_shutdown(child)

    def _ended(self, child: Child, kind: Kind, *, forget: bool = False) -> None:
        """The child is down for good: dynamic and temporary ones leave the table."""
        child.enter(Phase.STOPPED)
        self.emit(Ended(child.spec.id, child.incarnation, kind))
        if forget or child.spec.restart is Restart.TEMPORARY or self.spec.strategy is Strategy.DYNAMIC:
            self.forget(child)

    def _check_auto_shutdown(self, child: Child) -> None:
        if not child.spec.significant or self.mode is Mode.ENDING:
            return
        rule = self.spec.auto_shutdown
        others = any(
            other.spec.significant and (other.alive or other.phase in PENDING)
            for other in self.children.values()
            if other is not child
        )
        if rule is AutoShutdown.ANY_SIGNIFICANT or (rule is AutoShutdown.ALL_SIGNIFICANT and not others):
            self.emit(Report(child.spec.id, "auto_shutdown", "warning", str(rule)))
            self.end(Kind.SHUTDOWN, f"auto_shutdown: {child.spec.id} ended")

    def _fail(self, child: Child, kind: Kind) -> None:
        """A counted failure: within the budgets it is restarted, over them it stays down or the group ends."""
        child.failures += 1
        if kind is Kind.OOM:
            self._escalate(child, kind, "out of memory")
            return
        window = child.window or self.window
        if window.add(self._now):
            limit = child.spec.limit
            why = f"more than {window.count} failures within {window.period_s:g} s; the last: {child.last_reason}"
            if limit is not None and limit.action is LimitAction.GIVE_UP:
                self._give_up(child, kind, why)
            else:
                self._escalate(child, kind, why)
            return
        self._restart(child, kind)

    def _give_up(self, child: Child, kind: Kind, why: str) -> None:
        child.enter(Phase.GAVE_UP)
        self._plan_goes_on(child)
        self.emit(Report(child.spec.id, "gave_up", "critical", why, child.incarnation))
        self.emit(Ended(child.spec.id, child.incarnation, kind))
        self._check_auto_shutdown(child)

    def _escalate(self, child: Child, kind: Kind, why: str) -> None:
        child.enter(Phase.STOPPED)
        self.emit(Ended(child.spec.id, child.incarnation, kind))
        self.emit(Report(child.spec.id, "limit", "critical", why, child.incarnation))
        self.end(Kind.SHUTDOWN, f"{child.spec.id}: {why}")

    def _restart(self, child: Child, kind: Kind) -> None:
        child.restarts_total += 1
        delay = delay_s(child.spec.backoff, child.failures, self.rng)
        severity = "critical" if child.failures == LOUD_AFTER + 1 else "warning"
        self.emit(Restarting(child.spec.id, child.incarnation, kind))
        self.emit(
            Report(child.spec.id, "restarting", severity, child.last_reason, child.incarnation, "", delay)
        )
        if self.spec.strategy in {Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE}:
            self._restart_group(child, delay)
        elif delay:
            self._wait(child, delay)
        else:
            self.spawn(child)

    def _wait(self, child: Child, delay: float) -> None:
        epoch = child.enter(Phase.BACKOFF)
        child.due_at = self._now + delay
        self.emit(Arm(child.spec.id, Due.RESTART, epoch, delay))

    def _restart_group(self, trigger: Child, delay: float) -> None:
        affected = list(self.children)
        if self.spec.strategy is Strategy.REST_FOR_ONE:
            affected = affected[affected.index(trigger.spec.id) :]
        affected = [name for name in affected if self.children[name].phase is not Phase.GAVE_UP]
        trigger.enter(Phase.WAITING)
        if self.starting in affected:
            self.starting = None
        for name in affected:
            child = self.children[name]
            child.goal = Goal.WAIT if child.goal is Goal.STOP and not child.stoppers else child.goal
            if child.phase in {Phase.STOPPED, Phase.BACKOFF}:
                child.enter(Phase.WAITING)
        self.to_stop |= {name for name in affected if self.children[name].alive}
        self.to_start |= set(affected)
        self.gate = None
        if delay:
            self._wait(trigger, delay)
            self.gate = trigger.spec.id

    # -- timers ----------------------------------------------------------------------------------------------

    def _timer(self, child: Child, due: Due) -> None:
        name = child.spec.id
        match due, child.phase:
            case Due.RESET, Phase.RUNNING:
                child.failures = 0
            case Due.RESTART, Phase.BACKOFF if self.gate == name:
                self.gate = None
                child.enter(Phase.WAITING)
            case Due.RESTART, Phase.BACKOFF:
                self.spawn(child)
            case Due.START, Phase.STARTING:
                self._abandon(child, "start_timeout")
                self._start_failed(child, Kind.START_FAILED, child.last_reason)
            case Due.GRACE, Phase.WEDGED:
                self._abandon(child, "hung")
                if child.spec.hang.action is HangAction.ESCALATE:
                    self._escalate(child, Kind.ABANDONED, "hung")
                else:
                    self._exited(child, Kind.ABANDONED)
            case Due.STOP, Phase.STOPPING:
                self._abandon(child, "stop_timeout")
                self.emit(
                    Report(
                        name,
                        "shutdown_error",
                        "error",
                        "did not stop in time; left behind",
                        child.incarnation,
                    )
                )
                self._stopped(child, Kind.ABANDONED)
            case _:
                pass

    def _abandon(self, child: Child, why: str) -> None:
        child.last_reason = f"abandoned: {why}"
        self.emit(Abandon(child.spec.id, child.incarnation, why))

    # -- starting and stopping -------------------------------------------------------------------------------

    def spawn(self, child: Child) -> None:
        """Start the next incarnation."""
        child.incarnation += 1
        child.goal = Goal.STOP
        epoch = child.enter(Phase.STARTING)
        self.emit(Spawn(child.spec, child.incarnation))
        if not child.spec.is_supervisor:
            self.emit(Arm(child.spec.id, Due.START, epoch, child.spec.start_timeout_s))

    def stop(self, child: Child, reason: str, goal: Goal) -> None:
        """Begin to stop a living child; `goal` is what it becomes."""
        child.goal = goal
        if child.phase is Phase.STOPPING:
            return
        if self.starting == child.spec.id:
            self.starting = None
        epoch = child.enter(Phase.STOPPING)
        if child.spec.abandon_now:
            self._abandon(child, "abandon_now")
            self._stopped(child, Kind.ABANDONED)
            return
        self.emit(SendStop(child.spec.id, reason))
        if child.spec.stop_limit_s != float("inf"):
            self.emit(Arm(child.spec.id, Due.STOP, epoch, child.spec.stop_limit_s))

    def _stopped(self, child: Child, kind: Kind) -> None:
        goal, child.goal = child.goal, Goal.STOP
        self.to_stop.discard(child.spec.id)
        self.answer_starter(child, ok=False, error="stopped")
        stoppers, child.stoppers = child.stoppers, []
        child.asked = False
        if goal is Goal.WAIT and child.spec.restart is not Restart.TEMPORARY and self.mode is not Mode.ENDING:
            child.enter(Phase.WAITING)
            self.emit(Restarting(child.spec.id, child.incarnation, kind))
        elif goal is Goal.REPLACE and self.mode is not Mode.ENDING:
            self._replace(child)
        else:
            self._ended(child, kind, forget=goal is Goal.DELETE or child.fresh)
        for asker, request in stoppers:
            self.emit(Reply(asker, ChildReply(child.spec.id, request, ok=True)))

    def _replace(self, child: Child) -> None:
        assert child.successor is not None  # set with the goal
        child.spec, child.successor = child.successor, None
        child.__post_init__()
        child.failures = 0
        self.spawn(child)

    def end(self, kind: Kind, cause: str, *, failed: str = "") -> None:
        """Stop every child in reverse order (a dynamic supervisor: all at once), then finish."""
        if self.mode is Mode.ENDING:
            return
        self.mode = Mode.ENDING
        self._end = Finish(kind, cause, failed)
        self.to_start, self.starting, self.gate = set(), None, None
        for child in list(self.children.values()):
            if child.phase in PENDING:
                self._ended(child, Kind.SHUTDOWN)
        self.to_stop = {name for name, child in self.children.items() if child.alive}
        if self.spec.strategy is Strategy.DYNAMIC:
            for name in list(self.to_stop):
                self.stop(self.children[name], cause or "shutdown", Goal.STOP)

    # -- the plan --------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take the next step of the plan, if it waits for nobody."""
        while self._step():
            pass

    def _step(self) -> bool:
        if self.to_stop:
            return self._stop_next()
        if self.mode is Mode.ENDING:
            if not any(child.alive for child in self.children.values()):
                self.mode = Mode.ENDED
                self.emit(self._end)
            return False
        if self.starting is not None or self.gate is not None:
            return False
        if self.to_start:
            return self._start_next()
        if self.mode is Mode.BOOTING:
            self.mode = Mode.RUNNING
            self.emit(BecomeReady())
        return False

    def _stop_next(self) -> bool:
        last = next(name for name in reversed(self.children) if name in self.to_stop)
        child = self.children[last]
        if not child.alive:
            self.to_stop.discard(last)
            return True
        if child.phase is Phase.STOPPING:
            return False
        goal = Goal.STOP if self.mode is Mode.ENDING else Goal.WAIT
        self.stop(
            child, self._end.cause or "shutdown" if self.mode is Mode.ENDING else "sibling restart", goal
        )
        return child.phase is not Phase.STOPPING

    def _start_next(self) -> bool:
        first = next((name for name in self.children if name in self.to_start), None)
        if first is None:
            self.to_start.clear()
            return True
        self.to_start.discard(first)
        child = self.children[first]
        if child.phase not in {Phase.WAITING, Phase.STOPPED} or self._abstains(child):
            return True
        self.starting = first
        self.spawn(child)
        return False

    def _abstains(self, child: Child) -> bool:
        return bool(child.stoppers)

    # -- small things ----------------------------------------------------------------------------------------

    def emit(self, effect: Effect) -> None:
        """Add to what the shell has to do."""
        self._out.append(effect)

    def forget(self, child: Child) -> None:
        """Take the child out of the table."""
        name = child.spec.id
        self.children.pop(name, None)
        self.to_stop.discard(name)
        self.to_start.discard(name)
        self.emit(Forget(name))

    def answer_starter(
        self, child: Child, *, ok: bool, error: str | None = None, detail: str = "", info: object = None
    ) -> None:
        """Answer whoever asked for this start."""
        if child.starter is not None:
            asker, child.starter = child.starter, None
            self.emit(
                Reply(asker, ChildReply(child.spec.id, "start", ok=ok, error=error, detail=detail, info=info))
            )

    def end_quietly(self, child: Child) -> None:
        """A child that is not running is down from now on."""
        self._ended(child, Kind.SHUTDOWN)

    def specs(self) -> Iterator[ChildSpec]:
        """The specs in start order."""
        return (child.spec for child in self.children.values())
