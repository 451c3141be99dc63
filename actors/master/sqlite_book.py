"""The book in one SQLite file, used by one thread."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .book import AgentRow, CommandRow, TokenRow

VERSION = 2
SCHEMA = """
CREATE TABLE tokens (
    token_id BLOB PRIMARY KEY, mac_key BLOB NOT NULL, expires_ms INTEGER NOT NULL, uses_left INTEGER NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE enrolments (token_id BLOB NOT NULL, public BLOB NOT NULL, agent_id TEXT NOT NULL);
CREATE TABLE agents (
    agent_id TEXT PRIMARY KEY, public BLOB NOT NULL, next_public BLOB, enrolled_ms INTEGER NOT NULL,
    state TEXT NOT NULL, received_offset INTEGER NOT NULL, seen_ms INTEGER NOT NULL, inventory TEXT NOT NULL,
    report TEXT NOT NULL, report_ms INTEGER NOT NULL, sent_offset INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE generations (agent_id TEXT, engine TEXT, value INTEGER NOT NULL, PRIMARY KEY (agent_id, engine));
CREATE TABLE commands (
    command_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, position INTEGER NOT NULL, word TEXT NOT NULL,
    envelope BLOB NOT NULL, issued_ms INTEGER NOT NULL, ttl_ms INTEGER NOT NULL, state TEXT NOT NULL,
    progress TEXT, result TEXT, updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX commands_order ON commands (agent_id, position);
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT NOT NULL, event_id TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL
);
CREATE TABLE alerts (
    agent_id TEXT NOT NULL, fingerprint TEXT NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (agent_id, fingerprint)
);
"""
UPGRADES = {
    2: """
ALTER TABLE agents ADD COLUMN old_public BLOB;
ALTER TABLE agents ADD COLUMN old_until_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN agent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN approve INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN hosts TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN network TEXT NOT NULL DEFAULT '';
"""
}
"""From the version before; a released step never changes."""
OPEN = "('queued', 'sent')"
AGENT = "agent_id, public, next_public, enrolled_ms, state, received_offset, seen_ms, inventory, report, report_ms"
AGENT += ", old_public, old_until_ms"
COMMAND = "command_id, agent_id, position, word, envelope, issued_ms, ttl_ms, state, progress, result, updated_ms"


class SqliteBook:
    """WAL with synchronous=FULL: what a method returned from is on disk."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, timeout=10.0, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise RuntimeError(f"{file}: written by a newer version ({version}); install that version again")
        if version == 0:
            self._db.executescript(f"BEGIN;{SCHEMA};PRAGMA user_version=1;COMMIT")
            version = 1
        for step in range(version + 1, VERSION + 1):
            self._db.executescript(f"BEGIN;{UPGRADES[step]};PRAGMA user_version={step};COMMIT")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- tokens and agents -----------------------------------------------------------------------------------

    def add_token(self, row: TokenRow) -> None:
        """A new join token."""
        with self._transaction() as db:
            values = (row.token_id, row.mac_key, row.expires_ms, row.uses_left, row.note)
            scope = (row.agent_id, row.approve, row.hosts, row.network)
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, *scope))

    def token(self, token_id: bytes) -> TokenRow | None:
        """A join token."""
        row = self._db.execute("SELECT * FROM tokens WHERE token_id = ?", (token_id,)).fetchone()
        if row is None:
            return None
        found, mac_key, expires_ms, uses_left, note, agent_id, approve, hosts, network = row
        return TokenRow(found, mac_key, expires_ms, uses_left, note, agent_id, bool(approve), hosts, network)

    def enrolled_with(self, token_id: bytes) -> Sequence[tuple[bytes, str]]:
        """Public keys and agent ids that used a token."""
        return self._db.execute("SELECT public, agent_id FROM enrolments WHERE token_id = ?", (token_id,)).fetchall()

    def enrol(self, row: AgentRow, token_id: bytes) -> bool:
        """A new agent; one use of the token is gone."""
        with self._transaction() as db:
            if not self._use(db, token_id):
                return False
            db.execute(
                f"INSERT INTO agents ({AGENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0)",  # noqa: S608  # our own constant
                (
                    row.agent_id,
                    row.public,
                    row.next_public,
                    row.enrolled_ms,
                    row.state,
                    row.received_offset,
                    row.seen_ms,
                    json.dumps(row.inventory),
                    "{}",
                    0,
                ),
            )
            db.execute("INSERT INTO enrolments VALUES (?, ?, ?)", (token_id, row.public, row.agent_id))
        return True

    @staticmethod
    def _use(db: sqlite3.Connection, token_id: bytes) -> bool:
        """One use of the token, if one is left: two machines at the same moment do not get the same one."""
        used = db.execute(
            "UPDATE tokens SET uses_left = uses_left - 1 WHERE token_id = ? AND uses_left > 0", (token_id,)
        )
        return used.rowcount == 1

    def recover(self, agent_id: str, public: bytes, token_id: bytes) -> bool:
        """A new key for an agent that lost its own; every key before it opens nothing any more."""
        with self._transaction() as db:
            if not self._use(db, token_id):
                return False
            db.execute(
                "UPDATE agents SET public = ?, next_public = NULL, old_public = NULL, old_until_ms = 0,"
                " state = CASE state WHEN 'quarantined' THEN 'active' ELSE state END WHERE agent_id = ?",
                (public, agent_id),
            )
            db.execute("INSERT INTO enrolments VALUES (?, ?, ?)", (token_id, public, agent_id))
        return True

    def agents(self) -> Sequence[AgentRow]:
        """Every agent, by the time it enrolled."""
        rows = self._db.execute(f"SELECT {AGENT} FROM agents ORDER BY enrolled_ms")  # noqa: S608  # our own constant
        return [_agent(row) for row in rows]

    def agent(self, agent_id: str) -> AgentRow | None:
        """One agent."""
        row = self._db.execute(
            f"SELECT {AGENT} FROM agents WHERE agent_id = ?",  # noqa: S608  # our own constant
            (agent_id,),
        ).fetchone()
        return None if row is None else _agent(row)

    def set_agent_state(self, agent_id: str, state: str) -> None:
        """One of the states of AgentRow."""
        self._db.execute("UPDATE agents SET state = ? WHERE agent_id = ?", (state, agent_id))

    def set_next_key(self, agent_id: str, next_public: bytes) -> None:
        """The key that the agent will use next; the one it has stays good."""
        self._db.execute("UPDATE agents SET next_public = ? WHERE agent_id = ?", (next_public, agent_id))

    def promote_key(self, agent_id: str, public: bytes, old_until_ms: int) -> None:
        """The next key was used: it is the agent's key now."""
        self._db.execute(
            "UPDATE agents SET old_public = public, old_until_ms = ?, public = next_public, next_public = NULL"
            " WHERE agent_id = ? AND next_public = ?",
            (old_until_ms, agent_id, public),
        )

    def seen(self, times: Mapping[str, int]) -> None:
        """When agents were heard last."""
        with self._transaction() as db:
            rows = [(at_ms, agent_id) for agent_id, at_ms in times.items()]
            db.executemany("UPDATE agents SET seen_ms = ? WHERE agent_id = ?", rows)

    # -- commands --------------------------------------------------------------------------------------------

    def next_generation(self, agent_id: str, engine: str) -> int:
        """A number greater than every one before for this engine."""
        with self._transaction() as db:
            (value,) = db.execute(
                "INSERT INTO generations VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
                (agent_id, engine),
            ).fetchone()
        return int(value)

    def add_command(self, row: CommandRow) -> CommandRow:
        """Queue a command; the row with its offset."""
        with self._transaction() as db:
            (position,) = db.execute(
                "UPDATE agents SET sent_offset = sent_offset + 1 WHERE agent_id = ? RETURNING sent_offset",
                (row.agent_id,),
            ).fetchone()
            values = (row.word, row.envelope, row.issued_ms, row.ttl_ms, row.state, None, None, row.updated_ms)
            db.execute(
                "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (row.command_id, row.agent_id, position, *values),
            )
        found = self.command(row.command_id)
        assert found is not None
        return found

    def command(self, command_id: str) -> CommandRow | None:
        """One command."""
        row = self._db.execute(
            f"SELECT {COMMAND} FROM commands WHERE command_id = ?",  # noqa: S608  # our own constant
            (command_id,),
        ).fetchone()
        return None if row is None else _command(row)

    def commands_after(self, agent_id: str, offset: int) -> Sequence[CommandRow]:
        """Commands of the agent with a higher offset that it does not have yet, in order."""
        rows = self._db.execute(
            f"SELECT {COMMAND} FROM commands WHERE agent_id = ? AND position > ?"  # noqa: S608  # our own constants
            f" AND state IN {OPEN} ORDER BY position",
            (agent_id, offset),
        )
        return [_command(row) for row in rows]

    def mark_command(self, command_id: str, state: str, now_ms: int) -> None:
        """A state that came without a durable message; an end is never undone."""
        self._db.execute(
            "UPDATE commands SET state = ?, updated_ms = ? WHERE command_id = ?"
            " AND state IN ('queued', 'sent', 'accepted', 'running')",
            (state, now_ms, command_id),
        )

    def refuse_command(self, agent_id: str, command_id: str, error: dict[str, Any], now_ms: int) -> bool:
        """A command of this agent that it does not take; an end is never undone."""
        changed = self._db.execute(
            "UPDATE commands SET state = 'refused', result = ?, updated_ms = ? WHERE command_id = ? AND agent_id = ?"
            " AND state IN ('queued', 'sent')",
            (json.dumps({"error": error}), now_ms, command_id, agent_id),
        )
        return changed.rowcount == 1

    def progress(self, agent_id: str, command_id: str, progress: dict[str, Any], now_ms: int) -> None:
        """How far a command of this agent is."""
        self._db.execute(
            "UPDATE commands SET progress = ?, updated_ms = ? WHERE command_id = ? AND agent_id = ?",
            (json.dumps(progress), now_ms, command_id, agent_id),
        )

    # -- what agents tell ------------------------------------------------------------------------------------

    def receive(self, agent_id: str, messages: Sequence[tuple[int, str, dict[str, Any]]], now_ms: int) -> int:
        """Durable messages of an agent in order; those that are here already are skipped."""
        with self._transaction() as db:
            (at,) = db.execute("SELECT received_offset FROM agents WHERE agent_id = ?", (agent_id,)).fetchone()
            for offset, word, payload in messages:
                if offset > at:
                    self._keep(db, agent_id, word, payload, now_ms)
                    at = offset
            db.execute("UPDATE agents SET received_offset = ?, seen_ms = ? WHERE agent_id = ?", (at, now_ms, agent_id))
        return int(at)

    def _keep(self, db: sqlite3.Connection, agent_id: str, word: str, payload: dict[str, Any], now_ms: int) -> None:
        text = json.dumps(payload)
        match word:
            case "command.accepted":
                db.execute(
                    "UPDATE commands SET state = 'accepted', updated_ms = ? WHERE command_id = ? AND agent_id = ?"
                    " AND state IN ('queued', 'sent')",
                    (now_ms, payload["command_id"], agent_id),
                )
            case "command.result":
                db.execute(
                    "UPDATE commands SET state = ?, result = ?, updated_ms = ? WHERE command_id = ? AND agent_id = ?",
                    (payload["state"], text, now_ms, payload["command_id"], agent_id),
                )
            case "event":
                db.execute(
                    "INSERT OR IGNORE INTO events (agent_id, event_id, payload) VALUES (?, ?, ?)",
                    (agent_id, payload["event_id"], text),
                )
            case "alert":
                heard = json.dumps(payload | {"received_ms": now_ms})
                db.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)", (agent_id, payload["fingerprint"], heard))
            case "inventory":
                inventory = json.dumps(payload["values"])
                db.execute("UPDATE agents SET inventory = ? WHERE agent_id = ?", (inventory, agent_id))
            case _:
                pass  # a durable message of a later version: acknowledged, and of no use here

    def report(self, agent_id: str, values: dict[str, Any], at_ms: int, *, full: bool) -> None:
        """The latest figures: merged with those before, or in their place."""
        row = self._db.execute("SELECT report FROM agents WHERE agent_id = ?", (agent_id,)).fetchone()
        merged = values if full or row is None else {**json.loads(row[0]), **values}
        self._db.execute(
            "UPDATE agents SET report = ?, report_ms = ? WHERE agent_id = ?", (json.dumps(merged), at_ms, agent_id)
        )

    def add_event(self, agent_id: str, event: dict[str, Any]) -> None:
        """Something that this master saw itself."""
        self._db.execute(
            "INSERT OR IGNORE INTO events (agent_id, event_id, payload) VALUES (?, ?, ?)",
            (agent_id, event["event_id"], json.dumps(event)),
        )

    def events(self, after: int, limit: int, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """Events with a position above `after`."""
        rows = self._db.execute(
            "SELECT position, agent_id, payload FROM events WHERE position > ? AND (? IS NULL OR agent_id = ?)"
            " ORDER BY position LIMIT ?",
            (after, agent_id, agent_id, limit),
        )
        return [{"position": at, "agent_id": agent, **json.loads(payload)} for at, agent, payload in rows]

    def alerts(self, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """The newest state of every alert; `received_ms` is when this master had it."""
        rows = self._db.execute(
            "SELECT agent_id, payload FROM alerts WHERE ? IS NULL OR agent_id = ?", (agent_id, agent_id)
        )
        return [{"agent_id": agent, **json.loads(payload)} for agent, payload in rows]


def _agent(row: Any) -> AgentRow:
    agent_id, public, next_public, enrolled_ms, state, received, seen_ms, inventory, report, report_ms, *old = row
    facts, figures = json.loads(inventory), json.loads(report)
    known = (agent_id, public, next_public, enrolled_ms, state, received, seen_ms, facts, figures, report_ms)
    return AgentRow(*known, old_public=old[0], old_until_ms=old[1])


def _command(row: Any) -> CommandRow:
    command_id, agent_id, offset, word, envelope, issued_ms, ttl_ms, state, *texts, updated_ms = row
    progress, result = (None if text is None else json.loads(text) for text in texts)
    return CommandRow(
        command_id, agent_id, offset, word, envelope, issued_ms, ttl_ms, state, progress, result, updated_ms
    )
