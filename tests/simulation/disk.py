"""The journal's disk: full, torn in the middle of a write, or the place where the process dies.

SQLite is the real one, on real files. A process that is killed leaves copies of its files as they were at that moment
to the next one, so that nothing it does while it falls can reach them.
"""

import contextlib
import shutil
import sqlite3
from pathlib import Path

from greenlet import GreenletExit

from actors.journal.store import JournalStore

FILE = "journal.sqlite"


class SimDisk:
    """`full` refuses every commit; `next_commit` is "", "before", "after" or "torn": where the process dies."""

    def __init__(self, folder, rng):
        self._folder, self._rng = Path(folder), rng
        self._number = 0
        self.full = False
        self.next_commit = ""
        self.on_death = lambda how: None
        self.place.mkdir(parents=True)

    @property
    def place(self):
        return self._folder / f"{self._number}"

    @property
    def file(self):
        return self.place / FILE

    def survive(self, cut_wal_to=None):
        """What the next process finds."""
        before = self.place
        self._number += 1
        self.place.mkdir()
        for suffix in ("", "-wal"):
            source = before / f"{FILE}{suffix}"
            if source.exists():
                shutil.copy(source, self.place / source.name)
        if cut_wal_to is not None:
            with (self.place / f"{FILE}-wal").open("r+b") as wal:
                wal.truncate(cut_wal_to)
        shutil.rmtree(before)

    def wal_bytes(self):
        wal = self.place / f"{FILE}-wal"
        return wal.stat().st_size if wal.exists() else 0

    def opened(self, file):
        store = SimStore.open(file)
        store.disk = self
        return store

    def die(self, how, cut_wal_to=None):
        self.next_commit = ""
        self.survive(cut_wal_to)
        self.on_death(how)
        raise GreenletExit

    def tear(self, begun_at):
        """Where a write was cut that had not been confirmed; None when it went elsewhere."""
        now = self.wal_bytes()
        return self._rng.randrange(begun_at, now) if now > begun_at else None


class SimStore(JournalStore):
    """The journal's store on that disk."""

    disk = None

    @contextlib.contextmanager
    def transaction(self):
        disk = self.disk
        if disk is None:
            with super().transaction():
                yield
            return
        how, begun_at = disk.next_commit, disk.wal_bytes()
        with super().transaction():
            yield
            if disk.full:
                raise sqlite3.OperationalError("database or disk is full")
            if how == "before":
                disk.die("kill before commit")
        if how == "after":
            disk.die("kill after commit")
        if how == "torn":
            cut = disk.tear(begun_at)
            disk.die("torn write", cut)
