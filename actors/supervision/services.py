"""What every part of one system shares: handed down by System, never looked up."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from .cell import Cell

if TYPE_CHECKING:
    from config.supervision import SupervisionSettings

    from .core import Core
    from .events import EventLog
    from .incarnation import Incarnation
    from .runtime import Runtime
    from .timers import Timers


class AbandonBook(Protocol):
    """Counts threads that were left behind."""

    def abandoned(self, incarnation: "Incarnation") -> None:
        """One more was left behind."""
        ...

    def returned(self, incarnation: "Incarnation") -> None:
        """One that was left behind has ended after all."""
        ...


@dataclass(eq=False, slots=True)
class Services:
    """Runtime, timers, events and the registry of one system."""

    runtime: "Runtime"
    settings: "SupervisionSettings"
    events: "EventLog"
    timers: "Timers"
    book: AbandonBook
    live: "dict[int, Incarnation]" = field(default_factory=dict)
    """Every incarnation that has not ended, by identity; the watchdog scans it."""
    supervisors: "dict[str, Core]" = field(default_factory=dict)
    """The core of every running supervisor, by path; read for the tree."""
    cells: "WeakValueDictionary[str, Cell]" = field(default_factory=WeakValueDictionary)

    def cell(self, path: str) -> Cell:
        """The cell of a path; the same one for as long as anybody holds it."""
        found = self.cells.get(path)
        if found is None:
            found = self.cells.setdefault(path, Cell(path, self))
        return found
