"""What actors and supervisors say to each other; all frozen, ids and values only."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .handle import Handle
    from .spec import ChildSpec


@dataclass(frozen=True, slots=True)
class Terminated:
    """A watched actor ended; `final` is False when it will be restarted (only with each=True)."""

    path: str
    incarnation: int
    kind: str
    final: bool
    reason: str = field(default="", compare=False)
    """Its last words, for people."""


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task of this actor returned `value`."""

    task_id: int
    name: str
    value: object


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task of this actor raised; `kind` is the exception's type name, the rest is text."""

    task_id: int
    name: str
    kind: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class StartChild:
    """Told to a supervisor: add this child and start it. A child whose first start fails is not kept."""

    spec: "ChildSpec"
    reply_to: "Handle | None" = None


@dataclass(frozen=True, slots=True)
class StopChild:
    """Told to a supervisor: stop this child. A dynamic supervisor forgets it, a static one keeps its spec."""

    id: str
    reply_to: "Handle | None" = None


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Told to a supervisor: start this stopped or given-up child again; not counted as a failure."""

    id: str
    reply_to: "Handle | None" = None


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Told to a supervisor: forget this stopped or given-up child."""

    id: str
    reply_to: "Handle | None" = None


@dataclass(frozen=True, slots=True)
class ReplaceSpecs:
    """Told to a supervisor: these are the children from now on; unchanged ones keep running."""

    children: "tuple[ChildSpec, ...]"
    reply_to: "Handle | None" = None


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Asked of a supervisor: answers a tuple of ChildFacts in start order."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Asked of a supervisor: answers ChildCounts."""


@dataclass(frozen=True, slots=True)
class GetSpec:
    """Asked of a supervisor: answers the ChildSpec, or None."""

    id: str


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """One child as its supervisor sees it."""

    id: str
    phase: str
    incarnation: int
    is_supervisor: bool


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many specs there are, how many run, and of which type they are."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class ChildReply:
    """The outcome of a request to a supervisor. `error` is a word such as already_started, already_present,
    restarting, running, not_found, max_children, stopping, invalid, start_failed; `detail` says more.
    """

    id: str
    request: str
    ok: bool
    error: str | None = None
    detail: str = ""
    info: object = None
    """What the child's on_start returned."""
