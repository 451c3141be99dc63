"""What a damaged journal still gives: every row that can be read goes into the new one.

A flipped page makes a part of one table unreadable, not the file. Each table is read from both ends up to the damage.
"""

import contextlib
import sqlite3
from pathlib import Path

TABLES = ("commands", "outbox", "events", "desired", "state")
KEYS = {"commands": "command_id", "outbox": "position", "events": "position", "desired": "name", "state": "key"}
NOT_SAVED = "outbox.resumed"
"""Whether offsets were agreed on is for the new file to find out."""


def salvage(damaged: Path, into: sqlite3.Connection) -> dict[str, int]:
    """Copy what can be read; how many rows of each table. What cannot be read is left out, nothing is raised."""
    try:
        source = sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=rw", uri=True)
    except sqlite3.Error:
        return dict.fromkeys(TABLES, 0)
    with contextlib.closing(source):
        return {table: _copy(source, into, table) for table in TABLES}


def _copy(source: sqlite3.Connection, into: sqlite3.Connection, table: str) -> int:
    before = into.total_changes
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error):
            rows = source.execute(
                f"SELECT * FROM {table} ORDER BY {KEYS[table]} {direction}"  # noqa: S608  # our own constants
            )
            names = [column[0] for column in rows.description]
            places = ", ".join("?" * len(names))
            order = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608  # as above
            for row in rows:
                if not (table == "state" and row[0] == NOT_SAVED):
                    into.execute(order, row)
    return into.total_changes - before
