"""Stopping the orphans of a supervisor that ended by a bug: in its own dying worker, before its Down."""

from typing import TYPE_CHECKING

from .signals import Stop

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation

POLL_S = 0.05


def reap(dying: "Incarnation", orphans: "list[Cell]") -> None:
    """Stop the orphans, last first; leave behind whoever does not stop within its own time."""
    from .supervisor import abandon  # noqa: PLC0415  # the two know each other; this way round is the rare one

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
