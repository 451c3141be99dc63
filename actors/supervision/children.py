"""The table of a supervisor's children: each with its phase, incarnation and budget. Pure data."""

from dataclasses import dataclass, field
from enum import StrEnum

from .backoff import Window
from .spec import ChildSpec


class Phase(StrEnum):
    """Where a child is in its life. A deleted child is not in the table."""

    STARTING = "starting"
    RUNNING = "running"
    WEDGED = "wedged"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    WAITING = "waiting"
    """Stopped for the restart of its group; will be started with it."""
    STOPPED = "stopped"
    GAVE_UP = "gave_up"


ALIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.WEDGED, Phase.STOPPING})
PENDING = frozenset({Phase.BACKOFF, Phase.WAITING})


RECENT_MAX = 100
"""Failures of one child that are remembered for people."""


class Goal(StrEnum):
    """What a stopping child becomes."""

    STOP = "stop"
    WAIT = "wait"
    DELETE = "delete"
    REPLACE = "replace"


@dataclass(slots=True)
class Child:
    """One entry. `epoch` grows with every phase, so that a timer of an earlier phase is known as stale."""

    spec: ChildSpec
    phase: Phase = Phase.STOPPED
    incarnation: int = 0
    epoch: int = 0
    failures: int = 0
    """In a row, since it was last healthy."""
    restarts_total: int = 0
    last_reason: str = ""
    due_at: float | None = None
    """When the restart is due, monotonic seconds."""
    goal: Goal = Goal.STOP
    asked: bool = False
    """Started by a request: a failure of this start is an answer, not a restart."""
    fresh: bool = False
    """Never ran yet: a failure of this start leaves no entry."""
    starter: object = None
    stoppers: list[tuple[object, str]] = field(default_factory=list)
    """Who waits for its end, with the name of the request."""
    successor: ChildSpec | None = None
    window: Window | None = None
    """Its own budget."""
    recent: list[float] = field(default_factory=list)
    """When its last failures were, whichever budget they count against; for people."""

    def __post_init__(self) -> None:
        """Give the child its own failure window when its spec has a limit."""
        limit = self.spec.limit
        self.window = Window(limit.count, limit.period_s) if limit else None

    @property
    def alive(self) -> bool:
        """Whether an incarnation may be running."""
        return self.phase in ALIVE

    def enter(self, phase: Phase) -> int:
        """Change the phase; the new epoch."""
        self.phase, self.due_at = phase, None
        self.epoch += 1
        return self.epoch
