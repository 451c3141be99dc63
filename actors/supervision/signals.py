"""What the machinery says to itself, in the system lane, ahead of every message of users. Frozen data."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How an incarnation ended."""

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    CRASH = "crash"
    FATAL = "fatal"
    OOM = "oom"
    START_FAILED = "start_failed"
    ABANDONED = "abandoned"
    LOST = "lost"

    @property
    def orderly(self) -> bool:
        """Whether a transient child that ended so stays down."""
        return self in {Kind.NORMAL, Kind.SHUTDOWN}


class Due(StrEnum):
    """What a supervisor's timer is for; a child has at most one at a time."""

    RESTART = "restart_due"
    START = "start_deadline"
    STOP = "stop_deadline"
    GRACE = "cancel_grace"
    RESET = "reset_backoff"


class Signal:
    """The base of everything in the system lane."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Stop(Signal):
    """To an incarnation: end in good order."""

    reason: str


@dataclass(frozen=True, slots=True)
class Probe(Signal):
    """To an incarnation: call `answer`; shows that its loop turns."""

    answer: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Ready(Signal):
    """To the supervisor: this incarnation's on_start returned `info`."""

    id: str
    incarnation: int
    info: object = None


@dataclass(frozen=True, slots=True)
class Ignored(Signal):
    """To the supervisor: this incarnation declined to run."""

    id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Down(Signal):
    """To the supervisor: this incarnation and its cleanup have ended. Exactly one for each."""

    id: str
    incarnation: int
    kind: Kind
    reason: str = ""
    traceback: object = ""
    """Its text is str(traceback); it holds no frame."""
    uptime_s: float = 0.0
    in_flight: str = ""
    """Type name of the message it was handling."""
    undelivered: int = 0


@dataclass(frozen=True, slots=True)
class Hung(Signal):
    """To the supervisor: this message has taken longer than its limit."""

    id: str
    incarnation: int
    message: str
    busy_s: float
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Recovered(Signal):
    """To the supervisor: the incarnation that was reported as hung came back from its message."""

    id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class TimerFired(Signal):
    """To the supervisor: a timer that it armed; ignored when the child has moved on since."""

    id: str
    due: Due
    epoch: int


@dataclass(frozen=True, slots=True)
class Shutdown(Signal):
    """To a supervisor's core: stop everything and end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Boot(Signal):
    """To a supervisor's core: start the children of the spec, in order."""


@dataclass(frozen=True, slots=True)
class Request(Signal):
    """To a supervisor's core: an administrative message, and who gets its ChildReply (opaque to the core)."""

    message: object
    asker: object = None
    incarnation: int = 0
    """For a new child: the last incarnation that its path has had."""
