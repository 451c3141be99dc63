"""Ending what does not end by itself: a wedged incarnation is left behind, fenced; the orphans of a supervisor that
ended by a bug are stopped in its own dying worker, before its Down.
"""

from typing import TYPE_CHECKING

from .errors import ActorHung
from .future import why
from .signals import Stop

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation

POLL_S = 0.05


def reap(dying: "Incarnation", orphans: "list[Cell]") -> None:
    """Stop the orphans, last first; leave behind whoever does not stop within its own time."""
    for cell in reversed(orphans):
        orphan = cell.current
        if orphan is None:
            continue
        cell.mailbox.signal(Stop("its supervisor failed"))
        until = dying.runtime.now() + min(orphan.spec.stop_limit_s, dying.services.settings.reap_max_s)
        while orphan.worker is not None and not orphan.worker.join(POLL_S):
            if dying.runtime.now() >= until:
                abandon(orphan, "its supervisor failed")
                break
        cell.current = None
        cell.mailbox.close("its supervisor failed")


def abandon(left: "Incarnation", reason: str) -> None:
    """Fence an incarnation and all below it; whoever waits for its answer learns it."""
    left.fence()
    left.cell.mailbox.detach(left.consumer)
    future = left.future
    if future is not None:
        future.fail(ActorHung(left.cell.path, f"left behind: {reason}"))
    left.services.book.abandoned(left)
    left.report("abandoned", severity="error", reason=reason)
    run_cancel(left)
    for other in list(left.services.live.values()):
        if other.boss is left.cell.mailbox and not other.fenced:
            other.cell.mailbox.signal(Stop("its supervisor was replaced"))
            abandon(other, "its supervisor was replaced")


def run_cancel(wedged: "Incarnation") -> None:
    """Run its cancel hooks in a helper worker: they may block, too."""

    def hooks() -> None:
        wedged.tasks.cancel_all()
        if wedged.cancel_hook is not None:
            try:
                wedged.cancel_hook()
            except BaseException as error:  # noqa: BLE001  # a hook's fault is an event
                wedged.report("cancel_failed", severity="error", reason=why(error))

    try:
        wedged.runtime.spawn(f"{wedged.cell.path}#{wedged.number}:cancel", hooks)
    except RuntimeError as error:
        wedged.report("cancel_failed", severity="error", reason=why(error))
