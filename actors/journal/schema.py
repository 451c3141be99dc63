"""The tables of the journal, and the steps from each older version to the newest."""

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE commands (
        command_id TEXT PRIMARY KEY,
        word TEXT NOT NULL,
        envelope BLOB NOT NULL,
        state TEXT NOT NULL,
        accepted_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        result BLOB
    ) WITHOUT ROWID;
    CREATE INDEX commands_open ON commands (accepted_ms) WHERE state IN ('accepted', 'running');
    CREATE TABLE outbox (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id BLOB NOT NULL,
        word TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE TABLE events (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        payload BLOB NOT NULL
    );
    CREATE TABLE desired (
        name TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        spec BLOB,
        command_id TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    """,
    # Commands of one millisecond had no order of their own; the oldest event of a full outbox took a scan to find.
    # A file that was in use has already agreed with its master on offsets.
    """
    ALTER TABLE commands ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
    DROP INDEX commands_open;
    CREATE INDEX commands_open ON commands (accepted_ms, position) WHERE state IN ('accepted', 'running');
    CREATE INDEX commands_position ON commands (position);
    CREATE INDEX outbox_word ON outbox (word, position);
    INSERT INTO state SELECT 'outbox.resumed', x'31' WHERE EXISTS (SELECT 1 FROM events);
    """,
)
"""Step n brings version n to n + 1; a released step never changes."""

VERSION = len(STEPS)
