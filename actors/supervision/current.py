"""Whose code is running: the incarnation of this thread, and who waits for whom."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .errors import AskCycle, Fenced

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation

LOOP: "ContextVar[Incarnation | None]" = ContextVar("loop", default=None)
"""The incarnation whose loop runs here; None in tasks and outside of actors."""

OWNER: "ContextVar[Incarnation | None]" = ContextVar("owner", default=None)
"""The incarnation on whose behalf this code runs, tasks included."""


def check_fence() -> None:
    """Refuse an effect of an incarnation that was replaced.

    Raises:
        Fenced: the caller was replaced.

    """
    owner = OWNER.get()
    if owner is not None and owner.fenced:
        owner.refused()
        raise Fenced(owner.cell.path, f"incarnation {owner.number} was replaced and may have no effect")


def check_cycle(caller: "Cell", target: "Cell") -> None:
    """Follow who waits for whom from `target`.

    Raises:
        AskCycle: the way leads back to `caller`.

    """
    seen, cell = [target.path], target
    while cell is not caller:
        following = cell.waits_for
        if following is None:
            return
        cell = following
        seen.append(cell.path)
    raise AskCycle(caller.path, "asking would wait for ever: " + " -> ".join([caller.path, *seen]))


@contextlib.contextmanager
def waiting(caller: "Cell", target: "Cell") -> Iterator[None]:
    """Note that `caller` waits for `target` meanwhile; refused when that closes a circle."""
    caller.waits_for = target  # set before looking: of two that meet, at least one sees the other
    try:
        check_cycle(caller, target)
        yield
    finally:
        caller.waits_for = None
