"""The tree as data, for people: a frozen snapshot taken without asking anybody."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .children import Child
    from .core import Core
    from .services import Services


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One child. Times are seconds; `kind` is worker or the supervisor's strategy."""

    path: str
    kind: str
    state: str
    incarnation: int
    restarts_in_window: int
    restarts_total: int
    last_reason: str
    next_restart_in_s: float | None
    mailbox_depth: int
    current_message: str
    current_age_s: float
    children: "tuple[TreeNode, ...]" = ()


def snapshot(services: "Services", path: str, child: "Child", period_s: float = 0.0) -> TreeNode:
    """The node of one child and all below it; `period_s` is the window of its supervisor's budget."""
    now = services.runtime.now()
    cell = services.cells.get(path)
    current = cell.current if cell else None
    message = current.message if current else None
    since = current.busy_since if current else 0.0
    core = services.supervisors.get(path)
    strategy = getattr(child.spec.factory, "strategy", "worker")
    return TreeNode(
        path=path,
        kind=str(strategy),
        state=str(child.phase),
        incarnation=child.incarnation,
        restarts_in_window=_in_window(child, core, period_s, now),
        restarts_total=child.restarts_total,
        last_reason=child.last_reason,
        next_restart_in_s=None if child.due_at is None else max(0.0, child.due_at - now),
        mailbox_depth=len(cell.mailbox) if cell else 0,
        current_message=type(message).__name__ if since else "",
        current_age_s=now - since if since else 0.0,
        children=_below(services, path, core),
    )


def _in_window(child: "Child", core: "Core | None", period_s: float, now: float) -> int:
    """Of a supervisor the failures in the budget that its children share, of a worker its own failures."""
    if core is not None:
        return core.window.within(now)
    limit = child.spec.limit
    oldest = now - (period_s if limit is None else limit.period_s)
    return sum(1 for time in tuple(child.recent) if time >= oldest)


def _below(services: "Services", path: str, core: "Core | None") -> tuple[TreeNode, ...]:
    if core is None:
        return ()
    period_s = core.spec.period_s
    return tuple(snapshot(services, f"{path}/{name}", child, period_s) for name, child in list(core.children.items()))


def draw(node: TreeNode, depth: int = 0) -> str:
    """The tree as lines of plain text."""
    name = node.path if depth == 0 else node.path.rsplit("/", 1)[1]
    parts = [f"{'  ' * depth}{name}", node.kind, node.state, f"#{node.incarnation}"]
    if node.restarts_total:
        parts.append(f"restarts={node.restarts_total} ({node.restarts_in_window} in window)")
    if node.next_restart_in_s is not None:
        parts.append(f"next in {node.next_restart_in_s:.1f} s")
    if node.mailbox_depth:
        parts.append(f"waiting={node.mailbox_depth}")
    if node.current_message:
        parts.append(f"on {node.current_message} for {node.current_age_s:.1f} s")
    if node.last_reason:
        parts.append(f"last: {node.last_reason}")
    return "\n".join(["  ".join(parts), *(draw(child, depth + 1) for child in node.children)])
