"""Child and supervisor specifications: frozen data, checked by `validate.py` before anything starts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .actor import Actor


class Restart(StrEnum):
    """When an ended child is started again."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Whom the failure of one child touches."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    DYNAMIC = "dynamic"


class AutoShutdown(StrEnum):
    """Whether the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class LimitAction(StrEnum):
    """What follows when a child failed too often: it stays down, or its supervisor fails."""

    GIVE_UP = "give_up"
    ESCALATE = "escalate"


class HangAction(StrEnum):
    """What follows when a message takes too long."""

    REPLACE = "replace"
    ESCALATE = "escalate"
    REPORT = "report"


class Overflow(StrEnum):
    """What a full mailbox does with one message more. BLOCK is refused from an actor's thread."""

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    BLOCK = "block"


class OnRestart(StrEnum):
    """What happens to waiting messages when the actor is restarted."""

    KEEP = "keep"
    FAIL = "fail"
    DROP_STALE = "drop_stale"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row. Jitter only shortens, so `max_s` is a true cap."""

    min_s: float = 0.2
    """0 with max_s 0 restarts at once, always, as OTP does; then only the budget brakes."""
    max_s: float = 60.0
    factor: float = 2.0
    jitter: float = 0.3
    """Share of a delay that chance may take away, 0..1."""
    reset_after_s: float | None = None
    """A child that ran this long is healthy again; None means twice `max_s`, at least 1 s."""
    immediate_first: bool = True
    """The first restart after a healthy spell has no delay, as in OTP."""

    @property
    def healthy_after_s(self) -> float:
        """Seconds of running after which failures are forgotten."""
        return max(1.0, 2 * self.max_s) if self.reset_after_s is None else self.reset_after_s


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `count` failures of one child within `period_s` seconds lead to `action`."""

    count: int
    period_s: float
    action: LimitAction = LimitAction.GIVE_UP


@dataclass(frozen=True, slots=True)
class Hang:
    """How long one message may take before the actor counts as hung."""

    default_s: float = 60.0
    per_message: Mapping[type, float] = field(default_factory=dict)
    grace_s: float = 5.0
    """Between the cancel hooks and the replacement."""
    action: HangAction = HangAction.REPLACE

    def limit_s(self, message: object) -> float:
        """Seconds that this message may take."""
        return self.per_message.get(type(message), self.default_s)

    @property
    def least_s(self) -> float:
        """Seconds that any message may take, whichever it is."""
        return min(self.default_s, *self.per_message.values()) if self.per_message else self.default_s


@dataclass(frozen=True, slots=True)
class MailboxSpec:
    """How many messages wait, and what becomes of them."""

    capacity: int = 1000
    overflow: Overflow = Overflow.REJECT
    on_restart: OnRestart = OnRestart.KEEP
    stale_after_s: float = 30.0
    """Only for DROP_STALE: waiting messages older than this are dead letters at a restart."""
    block_s: float = 1.0
    """Only for BLOCK: how long a sender waits for room."""
    redeliver: bool = False
    """Deliver a message whose handling crashed once more; a second crash makes it a dead letter. Only for
    idempotent handlers."""


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A group of children; `intensity` failures of theirs within `period_s` seconds are survived."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    children: "tuple[ChildSpec, ...]" = ()
    intensity: int = 3
    period_s: float = 60.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    max_children: int | None = None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child: how it is made, and what its supervisor does when it ends."""

    id: str
    factory: Callable[[], Actor] | SupervisorSpec
    """Called in the child's own thread, at each start; or a supervisor's spec."""
    restart: Restart = Restart.PERMANENT
    shutdown_s: float | None = None
    """Time to stop; None means 5 s for a worker and unlimited for a supervisor."""
    start_timeout_s: float = 10.0
    """Time until on_start has returned; a supervisor has no limit of its own, its children have theirs."""
    significant: bool = False
    backoff: Backoff = Backoff()
    limit: Limit | None = None
    """The child's own failure budget; without one its failures count against its supervisor's."""
    hang: Hang = Hang()
    mailbox: MailboxSpec = MailboxSpec()
    critical: bool = False
    """Ready and the watchdog wait for it."""
    abandon_now: bool = False
    """Stop by fencing at once: no wait, no on_stop."""

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is a supervisor."""
        return isinstance(self.factory, SupervisorSpec)

    @property
    def stop_limit_s(self) -> float:
        """Seconds it may take to stop; infinite for a supervisor by default."""
        if self.shutdown_s is not None:
            return self.shutdown_s
        return math.inf if self.is_supervisor else 5.0

    @property
    def patience_s(self) -> float:
        """Seconds for which it is not late, whatever it begins now: a message, or its end."""
        return min(self.hang.least_s, self.stop_limit_s)


def spent(spec: ChildSpec) -> ChildSpec:
    """A started temporary child needs its factory no more: without it, its arguments are not kept alive."""
    if spec.restart is not Restart.TEMPORARY or spec.is_supervisor:
        return spec
    return replace(spec, factory=_no_factory)


def _no_factory() -> Actor:
    raise AssertionError("a temporary child is started only once")
