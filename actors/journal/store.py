"""The journal's file: one SQLite connection, used by one thread. The only home of sqlite3 in the agent.

WAL with `synchronous=FULL`: a commit that returned survives a kill and a loss of power. Writes happen inside
`transaction()` only; a failed one changes nothing and says why.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import JournalBusyError, JournalCorruptError, JournalNewerError
from .salvage import salvage
from .schema import STEPS, VERSION

BUSY_S = 5.0
PAGE_CACHE_KIB = 512
RECEIVED = "link.received_offset"
RESUMED = "outbox.resumed"
EVENTS_KEPT = 2_000


class JournalStore:
    """Open with `open`; every method belongs to the thread that opened it."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self._file, self._db = file, connection
        self.outbox_rows = 0
        """How many messages wait for the master."""
        self.outbox_bytes = 0
        """Their payloads together."""

    @classmethod
    def open(cls, file: Path) -> "JournalStore":
        """Open or make the file, check it, bring an older version up to date."""
        try:
            connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)
        except sqlite3.Error as error:
            raise JournalBusyError(str(file), str(error), "free space or mend the state directory") from error
        store = cls(file, connection)
        try:
            store._prepare()
        except BaseException:
            connection.close()
            raise
        return store

    def salvage(self, damaged: Path) -> str:
        """Take over what can be read of a damaged file; how much, in words."""
        with self.transaction():
            saved = salvage(damaged, self._db)
            self._count_outbox()
        return ", ".join(f"{count} {table}" for table, count in saved.items())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> None:
        with self._explained():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise JournalCorruptError(str(self._file), "damaged", "it is set aside and a new one is begun")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise JournalNewerError(
                    str(self._file), f"written by a newer version ({version} > {VERSION})", "install that version again"
                )
            for step in range(version, VERSION):
                self._db.executescript(f"BEGIN IMMEDIATE;{STEPS[step]};PRAGMA user_version={step + 1};COMMIT")
            self._count_outbox()

    def _count_outbox(self) -> None:
        row = self._db.execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM outbox").fetchone()
        self.outbox_rows, self.outbox_bytes = row

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; returns after the commit is on disk. JournalBusyError when it is not."""
        before = self.outbox_rows, self.outbox_bytes
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self.outbox_rows, self.outbox_bytes = before
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise JournalBusyError(str(self._file), str(error), "free space or make the disk writable again") from error
        except sqlite3.DatabaseError as error:
            raise JournalCorruptError(str(self._file), str(error), "it is set aside at the next start") from error

    # -- commands --------------------------------------------------------------------------------------------

    def command(self, command_id: str) -> tuple[bytes, str, bytes | None] | None:
        """Envelope, state and result of a command."""
        row = self._db.execute(
            "SELECT envelope, state, result FROM commands WHERE command_id = ?", (command_id,)
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def add_command(self, command_id: str, word: str, envelope: bytes, now_ms: int) -> None:
        """A new command, accepted."""
        self._db.execute(
            "INSERT INTO commands (command_id, word, envelope, state, accepted_ms, updated_ms, position)"
            " VALUES (?, ?, ?, 'accepted', ?, ?, (SELECT COALESCE(MAX(position), 0) + 1 FROM commands))",
            (command_id, word, envelope, now_ms, now_ms),
        )

    def set_command(self, command_id: str, state: str, now_ms: int, result: bytes | None = None) -> bool:
        """A command's new state; False when it is unknown or has already ended."""
        changed = self._db.execute(
            "UPDATE commands SET state = ?, updated_ms = ?, result = ? WHERE command_id = ?"
            " AND state IN ('accepted', 'running')",
            (state, now_ms, result, command_id),
        )
        return changed.rowcount == 1

    def open_commands(self) -> Sequence[tuple[str, str, bytes, str]]:
        """Id, word, envelope and state of everything accepted that has not ended, in the order it was accepted."""
        return self._db.execute(
            "SELECT command_id, word, envelope, state FROM commands WHERE state IN ('accepted', 'running')"
            " ORDER BY position, accepted_ms, command_id"
        ).fetchall()

    def forget_commands(self, before_ms: int, keep: int) -> None:
        """Ended commands from before that time, beyond the newest `keep`, are not needed any more."""
        self._db.execute(
            "DELETE FROM commands WHERE state NOT IN ('accepted', 'running') AND updated_ms < ? AND command_id NOT IN"
            " (SELECT command_id FROM commands ORDER BY updated_ms DESC LIMIT ?)",
            (before_ms, keep),
        )

    # -- outbox ----------------------------------------------------------------------------------------------

    def append(self, message_id: bytes, word: str, payload: bytes) -> int:
        """A message for the master; its offset."""
        cursor = self._db.execute(
            "INSERT INTO outbox (message_id, word, payload) VALUES (?, ?, ?)", (message_id, word, payload)
        )
        assert cursor.lastrowid is not None
        self.outbox_rows += 1
        self.outbox_bytes += len(payload)
        return cursor.lastrowid

    def outbox(self, after: int, limit: int) -> Sequence[tuple[int, bytes, str, bytes]]:
        """Offset, id, word and payload of what the master does not have."""
        return self._db.execute(
            "SELECT position, message_id, word, payload FROM outbox WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        ).fetchall()

    def drop_oldest(self, word: str) -> bool:
        """The oldest waiting message of this word goes, since others matter more; False when none waits."""
        row = self._db.execute(
            "SELECT position FROM outbox WHERE word = ? ORDER BY position LIMIT 1", (word,)
        ).fetchone()
        if row is not None:
            self._delete_outbox("position = ?", row[0])
        return row is not None

    def prune(self, offset: int) -> None:
        """The master has everything up to this offset."""
        self._delete_outbox("position <= ?", offset)

    def _delete_outbox(self, where: str, position: int) -> None:
        gone = f"FROM outbox WHERE {where}"
        rows, size = self._db.execute(
            f"SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) {gone}",
            (position,),
        ).fetchone()
        self._db.execute(f"DELETE {gone}", (position,))
        self.outbox_rows, self.outbox_bytes = self.outbox_rows - rows, self.outbox_bytes - size

    def resume(self, offset: int, believed: int) -> None:
        """A session begins and the master says it has our stream up to this offset: up to `believed` what it has goes.

        A file that was begun anew counts from one again, and an old copy of it counts on from where it was; the
        master would take such messages for those it has. So they are moved beyond what it has, in their order.
        """
        if self.get_state(RESUMED) is None or offset > self._last_offset():
            self._move_outbox_beyond(offset)
            self.put_state(RESUMED, b"1")
        self.prune(min(offset, believed))

    def _last_offset(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        return 0 if row is None else int(row[0])

    def _move_outbox_beyond(self, offset: int) -> None:
        last = self._last_offset() + offset
        # In two steps, since a moved row may not meet one that has yet to move.
        self._db.execute("UPDATE outbox SET position = -position")
        self._db.execute("UPDATE outbox SET position = ? - position", (offset,))
        self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'")
        self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (last,))

    # -- events ----------------------------------------------------------------------------------------------

    def add_event(self, payload: bytes) -> None:
        """One event for people on this machine; the oldest beyond the bound go."""
        cursor = self._db.execute("INSERT INTO events (payload) VALUES (?)", (payload,))
        assert cursor.lastrowid is not None
        self._db.execute("DELETE FROM events WHERE position <= ?", (cursor.lastrowid - EVENTS_KEPT,))

    def events(self, limit: int) -> Sequence[bytes]:
        """The last events, oldest first."""
        rows = self._db.execute("SELECT payload FROM events ORDER BY position DESC LIMIT ?", (limit,)).fetchall()
        return [payload for (payload,) in reversed(rows)]

    # -- desired state and small values ----------------------------------------------------------------------

    def put_desired(self, name: str, generation: int, spec: bytes | None, command_id: str) -> None:
        """What shall run, or with no spec that it shall not."""
        self._db.execute("INSERT OR REPLACE INTO desired VALUES (?, ?, ?, ?)", (name, generation, spec, command_id))

    def desired(self) -> Sequence[tuple[str, int, bytes | None, str]]:
        """Every known engine: name, generation, spec or None, the command that wanted it."""
        return self._db.execute("SELECT name, generation, spec, command_id FROM desired ORDER BY name").fetchall()

    def put_state(self, key: str, value: bytes) -> None:
        """A small durable value."""
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))

    def get_state(self, key: str) -> bytes | None:
        """The value, or None."""
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def received(self) -> int:
        """The highest offset of the master's stream that is here."""
        raw = self.get_state(RECEIVED)
        return 0 if raw is None else int(raw)

    def forget_received(self) -> None:
        """The master is another one: its stream begins anew."""
        self._db.execute("DELETE FROM state WHERE key = ?", (RECEIVED,))

    def put_received(self, offset: int) -> None:
        """Everything of the master's stream up to here is here."""
        if offset > self.received():
            self.put_state(RECEIVED, str(offset).encode())


def quarantine(file: Path, stamp: str) -> Path:
    """Set a damaged file and its companions aside; where to."""
    target = file.with_name(f"{file.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        source = file.with_name(file.name + suffix)
        if source.exists():
            source.rename(target.with_name(target.name + suffix))
    return target
