"""What a supervisor does with several children: boot in order, restart a group, end in reverse. Pure."""

from .children import PENDING, Child, Goal, Phase
from .effects import Arm, BecomeReady, Finish, Reply, Restarting, SendStop
from .messages import ChildReply
from .plan import Mode
from .roster import Roster
from .signals import Due, Kind
from .spec import Restart, Strategy, SupervisorSpec


class Planner(Roster):
    """Carries out the plan step by step; each step may wait for a child."""

    def __init__(self, spec: SupervisorSpec, numbers: dict[str, int]) -> None:
        super().__init__(spec, numbers)
        self.mode = Mode.BOOTING
        self._end = Finish(Kind.SHUTDOWN, "")

    def restart_group(self, trigger: Child, delay: float) -> None:
        """Plan to stop and start whom the strategy names; the backoff of the trigger holds up the starts."""
        affected = self._affected(trigger)
        trigger.enter(Phase.WAITING)
        for name in affected:
            child = self.children[name]
            self.plan.done(name)
            if child.goal is Goal.STOP:
                child.goal = Goal.WAIT
            if child.phase in {Phase.STOPPED, Phase.BACKOFF}:
                child.enter(Phase.WAITING)
        self.plan.to_stop |= {name for name in affected if self.children[name].alive}
        self.plan.to_start |= set(affected)
        self.plan.gate = None
        if delay:
            self.wait(trigger, delay)
            self.plan.gate = trigger.spec.id

    def _affected(self, trigger: Child) -> list[str]:
        """All, or the trigger and those after it; not those that gave up or are being stopped by request."""
        names = list(self.children)
        if self.spec.strategy is Strategy.REST_FOR_ONE:
            names = names[names.index(trigger.spec.id) :]
        children = self.children
        return [name for name in names if children[name].phase is not Phase.GAVE_UP and not children[name].stoppers]

    def stop(self, child: Child, reason: str, goal: Goal) -> bool:
        """Begin to stop a living child; `goal` is what it becomes. True when it is down at once."""
        child.goal = goal
        if child.phase is Phase.STOPPING:
            return False
        self.plan.done(child.spec.id)
        epoch = child.enter(Phase.STOPPING)
        if child.spec.abandon_now:
            self.abandon(child, "abandon_now")
            self.stopped(child, Kind.ABANDONED)
            return True
        self.emit(SendStop(child.spec.id, reason))
        if child.spec.stop_limit_s != float("inf"):
            self.emit(Arm(child.spec.id, Due.STOP, epoch, child.spec.stop_limit_s))
        return False

    def stopped(self, child: Child, kind: Kind) -> None:
        """A child that was to stop is down: it becomes what was meant."""
        goal, child.goal = child.goal, Goal.STOP
        self.plan.to_stop.discard(child.spec.id)
        self.answer_starter(child, ok=False, error="stopped")
        stoppers, child.stoppers = child.stoppers, []
        child.asked = False
        if goal is Goal.WAIT and child.spec.restart is not Restart.TEMPORARY and self.mode is not Mode.ENDING:
            child.enter(Phase.WAITING)
            self.emit(Restarting(child.spec.id, child.incarnation, kind, child.last_reason))
        elif goal is Goal.REPLACE and self.mode is not Mode.ENDING:
            self._replace(child)
        else:
            self.ended(child, kind, forget=goal is Goal.DELETE or child.fresh)
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
        self.plan.to_start, self.plan.starting, self.plan.gate = set(), None, None
        for child in list(self.children.values()):
            if child.phase in PENDING:
                self.ended(child, Kind.SHUTDOWN)
        self.plan.to_stop = {name for name, child in self.children.items() if child.alive}
        if self.spec.strategy is Strategy.DYNAMIC:
            for name in list(self.plan.to_stop):
                self.stop(self.children[name], cause or "shutdown", Goal.STOP)

    def advance(self) -> None:
        """Take the next step of the plan, if it waits for nobody."""
        while self._step():
            pass

    def _step(self) -> bool:
        if self.plan.to_stop:
            return self._stop_next()
        if self.mode is Mode.ENDING:
            if not any(child.alive for child in self.children.values()):
                self.mode = Mode.ENDED
                self.emit(self._end)
            return False
        if self.plan.waits:
            return False
        if self.plan.to_start:
            return self._start_next()
        if self.mode is Mode.BOOTING:
            self.mode = Mode.RUNNING
            self.emit(BecomeReady())
        return False

    def _stop_next(self) -> bool:
        last = self.plan.last_to_stop(self.children)
        child = self.children[last]
        if not child.alive:
            self.plan.to_stop.discard(last)
            return True
        if child.phase is Phase.STOPPING:
            return False
        if self.mode is Mode.ENDING:
            return self.stop(child, self._end.cause or "shutdown", Goal.STOP)
        return self.stop(child, "sibling restart", Goal.WAIT)

    def _start_next(self) -> bool:
        first = self.plan.first_to_start(self.children)
        if first is None:
            self.plan.to_start.clear()
            return True
        self.plan.to_start.discard(first)
        child = self.children[first]
        if child.phase not in {Phase.WAITING, Phase.STOPPED}:
            return True
        self.plan.starting = first
        self.spawn(child)
        return False
