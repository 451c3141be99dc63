"""A supervisor's children, and the single steps that one child can take. Pure: steps become effects."""

from .backoff import Window
from .children import Child, Goal, Phase
from .effects import Abandon, Arm, Effect, Ended, Forget, Reply, Report, Spawn
from .messages import ChildReply
from .plan import Plan
from .signals import Due, Kind
from .spec import Restart, Strategy, SupervisorSpec, spent


class Roster:
    """Children by id in start order, the plan for them, and what the shell has to do."""

    def __init__(self, spec: SupervisorSpec, numbers: dict[str, int]) -> None:
        self.spec = spec
        self.window = Window(spec.intensity, spec.period_s)
        self.children = {child.id: Child(child, incarnation=numbers.get(child.id, 0)) for child in spec.children}
        self.plan = Plan()
        self.now = 0.0
        """When the current event happened, monotonic seconds."""
        self._out: list[Effect] = []

    def take(self) -> tuple[Effect, ...]:
        """What was emitted since the last take: first what is to be done, then what is to be told."""
        out, self._out = self._out, []
        return tuple(sorted(out, key=_is_report))

    def emit(self, effect: Effect) -> None:
        """Add to what the shell has to do."""
        self._out.append(effect)

    def spawn(self, child: Child) -> None:
        """Start the next incarnation."""
        child.incarnation += 1
        child.goal = Goal.STOP
        epoch = child.enter(Phase.STARTING)
        self.emit(Spawn(child.spec, child.incarnation))
        child.spec = spent(child.spec)
        if not child.spec.is_supervisor:
            self.emit(Arm(child.spec.id, Due.START, epoch, child.spec.start_timeout_s))

    def run(self, child: Child) -> None:
        """It runs; when it stays up, its failures will be forgotten."""
        epoch = child.enter(Phase.RUNNING)
        if child.failures:
            self.emit(Arm(child.spec.id, Due.RESET, epoch, child.spec.backoff.healthy_after_s))

    def wait(self, child: Child, delay: float) -> None:
        """It will be started in `delay` seconds."""
        epoch = child.enter(Phase.BACKOFF)
        child.due_at = self.now + delay
        self.emit(Arm(child.spec.id, Due.RESTART, epoch, delay))

    def abandon(self, child: Child, why: str) -> None:
        """Leave its incarnation behind, fenced."""
        child.last_reason = f"abandoned: {why}"
        self.emit(Abandon(child.spec.id, child.incarnation, why))

    def ended(self, child: Child, kind: Kind, *, forget: bool = False) -> None:
        """The child is down for good: dynamic and temporary ones leave the table."""
        child.enter(Phase.STOPPED)
        self.emit(Ended(child.spec.id, child.incarnation, kind, child.last_reason))
        if forget or child.spec.restart is Restart.TEMPORARY or self.spec.strategy is Strategy.DYNAMIC:
            self.forget(child)

    def forget(self, child: Child) -> None:
        """Take the child out of the table."""
        name = child.spec.id
        self.children.pop(name, None)
        self.plan.drop(name)
        self.emit(Forget(name))

    def answer_starter(
        self, child: Child, *, ok: bool, error: str | None = None, detail: str = "", info: object = None
    ) -> None:
        """Answer whoever asked for this start."""
        if child.starter is not None:
            asker, child.starter = child.starter, None
            self.emit(Reply(asker, ChildReply(child.spec.id, "start", ok=ok, error=error, detail=detail, info=info)))


def _is_report(effect: Effect) -> bool:
    return isinstance(effect, Report)
