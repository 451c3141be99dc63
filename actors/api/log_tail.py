"""The newest lines of the agent's own log, from its file; nothing is kept between two looks but the position.

The lines are redacted before they are written (actors/log/redact.py).
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK_MAX_BYTES = 64 << 10
"""Read at one look; of more than that the oldest are left out, and counted."""
LINES_MAX = 200
TEXT_MAX_CHARS = 600
FIRST = ("at", "level", "event")


@dataclass(frozen=True, slots=True)
class NewLines:
    """What one look found; `left_out` lines or pieces of lines were too many."""

    lines: tuple[dict[str, Any], ...]
    left_out: bool = False


class LogTail:
    """Follows one file over its rotation."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._inode, self._offset = 0, 0

    def rewind(self) -> None:
        """The next look begins with the lines that are there already."""
        self._inode = 0

    def look(self) -> NewLines:
        """What came since the last look; at first the last lines that fit into one."""
        try:
            return self._look()
        except OSError:
            return NewLines(())

    def _look(self) -> NewLines:
        if self._file is None:
            return NewLines(())
        with self._file.open("rb") as source:
            status = os.fstat(source.fileno())
            begins = self._offset if self._inode == status.st_ino and self._offset <= status.st_size else 0
            known = begins > 0
            left_out = status.st_size - begins > LOOK_MAX_BYTES
            if left_out:
                begins = status.st_size - LOOK_MAX_BYTES
            source.seek(begins)
            found = source.read(LOOK_MAX_BYTES)
        whole = found[: found.rfind(b"\n") + 1]
        self._inode, self._offset = status.st_ino, begins + len(whole)
        lines = whole.split(b"\n")[1 if left_out else 0 : -1]
        return NewLines(tuple(map(shown, lines[-LINES_MAX:])), known and (left_out or len(lines) > LINES_MAX))


def shown(line: bytes) -> dict[str, Any]:
    """A line as the page shows it: time, level, event, and the rest as `name=value` words."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return {"at": "", "level": "", "event": "", "text": line.decode(errors="replace")[:TEXT_MAX_CHARS]}
    rest = " ".join(f"{name}={_word(value)}" for name, value in record.items() if name not in FIRST)
    return {name: str(record.get(name, ""))[:TEXT_MAX_CHARS] for name in FIRST} | {"text": rest[:TEXT_MAX_CHARS]}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
