"""What a supervisor's core decides; the shell does it. Frozen data, pure."""

from dataclasses import dataclass

from .messages import ChildReply
from .signals import Due, Kind
from .spec import ChildSpec


class Effect:
    """The base of every effect."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Spawn(Effect):
    """Start this incarnation of the child; its mailbox opens."""

    spec: ChildSpec
    incarnation: int


@dataclass(frozen=True, slots=True)
class SendStop(Effect):
    """Ask the running incarnation to end."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon(Effect):
    """Fence this incarnation: it may have no further effect; its thread is left behind."""

    id: str
    incarnation: int
    why: str


@dataclass(frozen=True, slots=True)
class RunCancel(Effect):
    """Run the cancel hooks of the wedged incarnation, off the supervisor's thread."""

    id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Arm(Effect):
    """Post TimerFired(id, due, epoch) after `delay_s` seconds."""

    id: str
    due: Due
    epoch: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Ended(Effect):
    """The child ended and no restart is planned: close its mailbox, tell its watchers."""

    id: str
    incarnation: int
    kind: Kind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Restarting(Effect):
    """The child ended and will be restarted: apply its mailbox's restart policy."""

    id: str
    incarnation: int
    kind: Kind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Forget(Effect):
    """The child is not in the table any more."""

    id: str


@dataclass(frozen=True, slots=True)
class Reply(Effect):
    """Answer the one who asked for a change."""

    asker: object
    reply: ChildReply


@dataclass(frozen=True, slots=True)
class Report(Effect):
    """Something people should be able to see."""

    id: str
    kind: str
    severity: str = "info"
    reason: str = ""
    incarnation: int = 0
    detail: object = ""
    """Its text is str(detail)."""
    next_try_s: float | None = None
    """Seconds until the next try, when one is planned."""


@dataclass(frozen=True, slots=True)
class BecomeReady(Effect):
    """Every child of the spec has started."""


@dataclass(frozen=True, slots=True)
class Finish(Effect):
    """The supervisor itself has ended; no child lives."""

    kind: Kind
    cause: str
    failed: str = ""
    """Id of the child that kept the supervisor from starting."""
