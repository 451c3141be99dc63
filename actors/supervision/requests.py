"""Requests to a supervisor's core: who may be started, stopped, deleted, and in which state. Pure."""

from typing import TYPE_CHECKING

from .children import PENDING, Child, Goal, Phase
from .effects import Reply
from .errors import SpecError
from .messages import (
    ChildCounts,
    ChildFacts,
    ChildReply,
    DeleteChild,
    ReplaceSpecs,
    RestartChild,
    StartChild,
    StopChild,
)
from .plan import Mode
from .signals import Kind, Request
from .spec import Strategy, SupervisorSpec
from .validate import check_child, check_supervisor

if TYPE_CHECKING:
    from .core import Core

NAMES = {
    StartChild: "start",
    StopChild: "stop",
    RestartChild: "restart",
    DeleteChild: "delete",
    ReplaceSpecs: "replace",
}


def handle(core: "Core", request: Request) -> None:
    """Begin what is asked for; the reply comes now or when it is done."""
    if core.mode in {Mode.ENDING, Mode.ENDED} and not isinstance(request.message, StopChild):
        refuse(core, request, "stopping")
        return
    match request.message:
        case StartChild():
            _start(core, request, request.message)
        case StopChild(id=name):
            _stop(core, request, name)
        case RestartChild(id=name):
            _restart(core, request, name)
        case DeleteChild(id=name):
            _delete(core, request, name)
        case ReplaceSpecs():
            _replace(core, request, request.message)
        case _:
            refuse(core, request, "unknown")


def refuse(core: "Core", request: Request, error: str, detail: str = "") -> None:
    """Answer no."""
    _reply(core, request, _name(request.message), error, detail)


def _reply(core: "Core", request: Request, name: str, error: str | None, detail: str = "") -> None:
    kind = NAMES.get(type(request.message), "unknown")
    core.emit(Reply(request.asker, ChildReply(name, kind, ok=error is None, error=error, detail=detail)))


def _name(message: object) -> str:
    if isinstance(message, StartChild):
        return message.spec.id
    return str(getattr(message, "id", ""))


def _start(core: "Core", request: Request, message: StartChild) -> None:
    spec = message.spec
    present = core.children.get(spec.id)
    if present is not None:
        refuse(core, request, "already_started" if present.alive else "already_present", str(present.phase))
        return
    limit = core.spec.max_children
    if limit is not None and len(core.children) >= limit:
        refuse(core, request, "max_children", f"{limit} children, the most its spec allows")
        return
    try:
        check_child(spec, core.spec)
    except SpecError as error:
        refuse(core, request, "invalid", str(error))
        return
    child = Child(spec, incarnation=request.incarnation, asked=True, fresh=True, starter=request.asker)
    core.children[spec.id] = child
    core.spawn(child)


def _stop(core: "Core", request: Request, name: str) -> None:
    child = core.children.get(name)
    if child is None:
        refuse(core, request, "not_found")
        return
    if child.alive:
        child.stoppers.append((request.asker, "stop"))
        if core.mode is not Mode.ENDING:  # else its turn comes, from the end
            core.stop(child, "stopped by request", child.goal if child.goal is Goal.DELETE else Goal.STOP)
        return
    if child.phase in PENDING or core.spec.strategy is Strategy.DYNAMIC:
        core.plan.drop(name)
        core.ended(child, Kind.SHUTDOWN)
    _reply(core, request, name, None)


def _restart(core: "Core", request: Request, name: str) -> None:
    child = core.children.get(name)
    error = _why_not(child)
    if child is None or error is not None:
        refuse(core, request, error or "not_found")
        return
    child.asked, child.starter = True, request.asker
    child.failures = 0
    if child.window is not None:
        child.window.times.clear()
    core.spawn(child)


def _delete(core: "Core", request: Request, name: str) -> None:
    child = core.children.get(name)
    error = _why_not(child)
    if child is None or error is not None:
        refuse(core, request, error or "not_found")
        return
    core.forget(child)
    _reply(core, request, name, None)


def _why_not(child: Child | None) -> str | None:
    if child is None:
        return "not_found"
    if child.phase in PENDING:
        return "restarting"
    return "running" if child.alive else None


def _replace(core: "Core", request: Request, message: ReplaceSpecs) -> None:
    try:
        check_supervisor("replacement", with_children(core.spec, message))
    except SpecError as error:
        refuse(core, request, "invalid", str(error))
        return
    wanted = {spec.id: spec for spec in message.children}
    for name, child in list(core.children.items()):
        if name not in wanted:
            _retire(core, child, Goal.DELETE)
        elif wanted[name] != child.spec:
            child.successor = wanted[name]
            _retire(core, child, Goal.REPLACE)
    for name, spec in wanted.items():
        if name not in core.children:
            core.children[name] = Child(spec)
            core.plan.to_start.add(name)
    order = [*wanted, *(name for name in core.children if name not in wanted)]
    core.children = {name: core.children[name] for name in order}
    _reply(core, request, "", None)


def _retire(core: "Core", child: Child, goal: Goal) -> None:
    if child.alive:
        core.stop(child, "its spec changed", goal)
        return
    core.plan.drop(child.spec.id)
    if goal is Goal.DELETE:
        core.ended(child, Kind.SHUTDOWN)
        core.forget(child)
    elif child.successor is not None:
        was_pending = child.phase in PENDING
        child.spec, child.successor = child.successor, None
        child.__post_init__()
        child.enter(Phase.STOPPED)
        if was_pending:
            core.plan.to_start.add(child.spec.id)


def with_children(spec: SupervisorSpec, message: ReplaceSpecs) -> SupervisorSpec:
    """The supervisor's spec with other children."""
    return SupervisorSpec(
        spec.strategy, message.children, spec.intensity, spec.period_s, spec.auto_shutdown, spec.max_children
    )


def facts(core: "Core") -> tuple[ChildFacts, ...]:
    """Every child, in start order."""
    return tuple(
        ChildFacts(name, str(child.phase), child.incarnation, child.spec.is_supervisor)
        for name, child in list(core.children.items())
    )


def counts(core: "Core") -> ChildCounts:
    """How many there are; active are those with a living incarnation."""
    children = list(core.children.values())
    supervisors = sum(child.spec.is_supervisor for child in children)
    return ChildCounts(len(children), sum(child.alive for child in children), supervisors, len(children) - supervisors)
