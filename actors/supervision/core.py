"""The decisions of a supervisor: (state, event, now) -> effects. No thread, no clock, no user code.

A child that ends is restarted alone (one_for_one, dynamic) or with its group. A group restart is a plan:
stop the affected ones in reverse order, wait for the backoff of the one that failed, start in order, each
after the one before is ready. Booting is the same plan with nothing to stop, ending the one with nothing to
start.
"""

from random import Random

from . import requests
from .backoff import delay_s
from .children import PENDING, RECENT_MAX, Child, Phase
from .effects import (
    Arm,
    Effect,
    Ended,
    Report,
    Restarting,
    RunCancel,
)
from .plan import Mode
from .planner import Planner
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
from .spec import AutoShutdown, HangAction, LimitAction, Restart, Strategy, SupervisorSpec

LOUD_AFTER = 5
"""Failures in a row after which the next one is reported as critical, once."""


class Core(Planner):
    """One supervisor's state. `handle` is the only way in; it returns what the shell has to do, in order."""

    def __init__(self, spec: SupervisorSpec, rng: Random, numbers: dict[str, int] | None = None) -> None:
        super().__init__(spec, numbers or {})
        self._rng = rng

    # -- the way in ------------------------------------------------------------------------------------------

    def handle(self, event: Signal, now: float) -> tuple[Effect, ...]:
        """Decide. An event that comes from an earlier incarnation or phase changes nothing."""
        self.now = now
        if self.mode is not Mode.ENDED:
            self._dispatch(event)
            self.advance()
        elif isinstance(event, Request):
            requests.refuse(self, event, "stopping")
        return self.take()

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
                self.plan.to_start = set(self.children)
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
        self.run(child)
        self.emit(Report(child.spec.id, "ready", incarnation=child.incarnation))
        self.answer_starter(child, ok=True, info=info)
        child.asked = child.fresh = False
        self.plan.done(child.spec.id)

    def _ignored(self, child: Child) -> None:
        self.emit(Report(child.spec.id, "ignored", incarnation=child.incarnation))
        self.plan.done(child.spec.id)
        if child.phase is Phase.STOPPING:
            self.stopped(child, Kind.NORMAL)
            return
        self.answer_starter(child, ok=True)
        child.asked = child.fresh = False
        child.last_reason = "ignored"
        self.ended(child, Kind.NORMAL)

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
            self.run(child)
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
        self._gone(child, down.kind, down.reason)

    def _gone(self, child: Child, kind: Kind, reason: str) -> None:
        """Its incarnation has ended, or was left behind. What was to be stopped anyway is no failure."""
        if child.phase is Phase.STOPPING or child.spec.id in self.plan.to_stop:
            self.stopped(child, kind)
        elif child.phase is Phase.STARTING:
            self._start_failed(child, kind, reason)
        else:
            self._exited(child, kind)

    # -- ends ------------------------------------------------------------------------------------------------

    def _start_failed(self, child: Child, kind: Kind, reason: str) -> None:
        self.plan.done(child.spec.id)
        if child.asked:
            self.answer_starter(child, ok=False, error="start_failed", detail=reason)
            child.asked = False
            self.ended(child, kind, forget=child.fresh)
        elif self.mode is Mode.BOOTING and not child.restarts_total:
            self.ended(child, kind)
            self.end(Kind.START_FAILED, reason, failed=child.spec.id)
        else:
            self._fail(child, kind)

    def _exited(self, child: Child, kind: Kind) -> None:
        restart = child.spec.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not kind.orderly):
            self._fail(child, kind)
            return
        self.ended(child, kind)
        self._check_auto_shutdown(child)

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
        """A counted failure: restarted within the budget; over it, it stays down or the group ends."""
        child.failures += 1
        child.recent = [*child.recent[1 - RECENT_MAX :], self.now]
        if kind is Kind.OOM:
            self._escalate(child, kind, "out of memory")
            return
        window = child.window or self.window
        if window.add(self.now):
            limit = child.spec.limit
            budget = f"more than {window.count} failures within {window.period_s:g} s"
            why = f"{budget}; the last: {child.last_reason}"
            if limit is not None and limit.action is LimitAction.GIVE_UP:
                self._give_up(child, kind, why)
            else:
                self._escalate(child, kind, why)
            return
        self._restart(child, kind)

    def _give_up(self, child: Child, kind: Kind, why: str) -> None:
        child.enter(Phase.GAVE_UP)
        self.plan.done(child.spec.id)
        self.emit(Report(child.spec.id, "gave_up", "critical", why, child.incarnation))
        self.emit(Ended(child.spec.id, child.incarnation, kind, child.last_reason))
        self._check_auto_shutdown(child)

    def _escalate(self, child: Child, kind: Kind, why: str) -> None:
        child.enter(Phase.STOPPED)
        self.emit(Ended(child.spec.id, child.incarnation, kind, child.last_reason))
        self.emit(Report(child.spec.id, "limit", "critical", why, child.incarnation))
        self.end(Kind.SHUTDOWN, f"{child.spec.id}: {why}")

    def _restart(self, child: Child, kind: Kind) -> None:
        child.restarts_total += 1
        delay = delay_s(child.spec.backoff, child.failures, self._rng)
        severity = "critical" if child.failures == LOUD_AFTER + 1 else "warning"
        self.emit(Restarting(child.spec.id, child.incarnation, kind, child.last_reason))
        self.emit(Report(child.spec.id, "restarting", severity, child.last_reason, child.incarnation, "", delay))
        if self.spec.strategy in {Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE}:
            self.restart_group(child, delay)
        elif delay:
            self.wait(child, delay)
        else:
            self.spawn(child)

    # -- timers ----------------------------------------------------------------------------------------------

    def _timer(self, child: Child, due: Due) -> None:
        name = child.spec.id
        match due, child.phase:
            case Due.RESET, Phase.RUNNING:
                child.failures = 0
            case Due.RESTART, Phase.BACKOFF if self.plan.gate == name:
                self.plan.gate = None
                child.enter(Phase.WAITING)
            case Due.RESTART, Phase.BACKOFF:
                self.spawn(child)
            case Due.START, Phase.STARTING:
                self.abandon(child, "start_timeout")
                self._gone(child, Kind.START_FAILED, child.last_reason)
            case Due.GRACE, Phase.WEDGED:
                self.abandon(child, "hung")
                if child.spec.hang.action is HangAction.ESCALATE:
                    self._escalate(child, Kind.ABANDONED, "hung")
                else:
                    self._gone(child, Kind.ABANDONED, child.last_reason)
            case Due.STOP, Phase.STOPPING:
                self.abandon(child, "stop_timeout")
                why = "did not stop in time; left behind"
                self.emit(Report(name, "shutdown_error", "error", why, child.incarnation))
                self.stopped(child, Kind.ABANDONED)
            case _:
                pass
