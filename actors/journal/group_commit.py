"""Group commit: what was put since the last commit is one transaction; what follows a write follows its commit.

While the disk refuses, what cannot wait is refused at once; the rest is tried again every `retry_s` seconds, in order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from .errors import JournalBusyError
from .store import JournalStore

PENDING_MAX = 10_000
"""Writes that wait while the disk refuses; beyond it the actor ends, and with it the acceptance of anything."""


def _nothing(_result: object) -> None:
    """Nothing follows."""


@dataclass(frozen=True, slots=True)
class Write:
    """One change, what follows when it is on disk, and what when it cannot be (None: it waits and is tried again)."""

    apply: Callable[[JournalStore], object]
    after: Callable[[object], None] = _nothing
    refuse: Callable[[str], None] | None = None


class GroupCommit:
    """The writes that wait. `due(wait_s)` asks the owner to call `commit` after what it has to read now, or later."""

    def __init__(self, store: JournalStore, retry_s: float, due: Callable[[float], None]) -> None:
        self._store, self._retry_s, self._due = store, retry_s, due
        self._pending: list[Write] = []
        self._is_due = False
        self._degraded = False
        self._log = structlog.get_logger().bind(actor="journal")

    def note(self, apply: Callable[[JournalStore], object]) -> None:
        """One change that nothing waits for."""
        self.put(Write(apply))

    def put(self, write: Write) -> None:
        """One change. Raises JournalBusyError where too many wait already."""
        if len(self._pending) >= PENDING_MAX:
            raise JournalBusyError("the journal", f"{PENDING_MAX} writes wait", "free space on the disk")
        self._pending.append(write)
        # While the disk refuses, what waits is tried now and then, not with each new message.
        self._ask(self._retry_s if self._degraded else 0.0)

    def commit(self, *, asked: bool = False) -> None:
        """Write everything that waits; what cannot wait is refused, the rest is tried again. `asked`: by `due`."""
        if asked:
            self._is_due = False
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                with self._store.transaction():
                    results = [write.apply(self._store) for write in batch]
            except JournalBusyError as error:
                self._refused(batch, error)
                return
            if self._degraded:
                self._degraded = False
                self._log.warning("journal.recovered")
            for write, result in zip(batch, results, strict=True):
                write.after(result)

    def _refused(self, batch: list[Write], error: JournalBusyError) -> None:
        if not self._degraded:
            self._degraded = True
            self._log.error("journal.cannot_write", why=str(error), waiting=len(batch))
        self._pending = [write for write in batch if write.refuse is None] + self._pending
        for write in batch:
            if write.refuse is not None:
                write.refuse(error.why)
        if self._pending:
            self._ask(self._retry_s)

    def _ask(self, wait_s: float) -> None:
        if not self._is_due:
            self._is_due = True
            self._due(wait_s)
