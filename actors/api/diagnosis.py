"""What the agent says of itself when its master asks: versions, the doctor's checks, the last events. Bounded.

The same checks as `mosalamaagent doctor` on the machine, with what is known here already; only Docker is asked, and the
journal for its events, each within its own deadline.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .board import Board
from .doctor import Seen, examine
from .engine_room import EngineRoom

FINDINGS_MAX = 64
EVENTS_MAX = 24
TEXT_MAX_CHARS = 250
"""Of one cell."""
ROWS_MAX_BYTES = 48_000
"""Of all rows: they go in one message."""
ORDER = {"bad": 0, "warning": 1, "good": 2}

Row = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`data` is one figure a name, `rows` one row for each check and each event: check, level, found, do."""

    data: Mapping[str, str | int]
    rows: tuple[Row, ...]


def diagnose(
    board: Board, tree: Mapping[str, Any], events: Sequence[Mapping[str, Any]], room: EngineRoom | None
) -> Diagnosis:
    """The bad first. `tree` and `events` are as the API shows them."""
    seen = Seen(
        status={"link": board.get("link")},
        tree=tree,
        engines=board.get("engines"),
        alerts=board.get("alerts"),
        snapshot=board.get("snapshot") or {},
        docker=room.docker() if room is not None else "it was not asked",
    )
    found = sorted(examine(seen), key=lambda one: ORDER[one.level])
    told = [_event(event) for event in events[-EVENTS_MAX:]]
    checks = [_row(one.check, one.level, one.found, one.do) for one in found[:FINDINGS_MAX]]
    kept = _fitting(checks, ROWS_MAX_BYTES - _size(told))
    if len(kept) < len(found):
        kept.append(_row("diagnosis", "warning", f"{len(found) - len(kept)} more checks are left out", ""))
    return Diagnosis(_data(board, bad=sum(one.level == "bad" for one in found)), (*kept, *told))


def _fitting(rows: Sequence[Row], most_bytes: int) -> list[Row]:
    """The first of them: the good ones are the last."""
    kept: list[Row] = []
    left = most_bytes
    for row in rows:
        left -= _size([row])
        if left < 0:
            break
        kept.append(row)
    return kept


def _size(rows: Sequence[Row]) -> int:
    """Bytes of the texts, with some for the names."""
    return sum(32 + sum(len(str(cell).encode()) for cell in row.values()) for row in rows)


def _data(board: Board, *, bad: int) -> dict[str, str | int]:
    agent = board.get("agent") or {}
    return {
        "version": str(agent.get("version", "")),
        "label": str(agent.get("label", "")),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "up_s": int(time.time() - board.started_at),
        "bad": bad,
    }


def _event(event: Mapping[str, Any]) -> Row:
    text = f"{event.get('subject', '')}: {event.get('text', '')}"
    return _row(f"event {event.get('kind', '')}", str(event.get("severity", "info")), text, "")


def _row(check: str, level: str, found: str, do: str) -> Row:
    return {
        "check": check[:TEXT_MAX_CHARS],
        "level": level,
        "found": found[:TEXT_MAX_CHARS],
        "do": do[:TEXT_MAX_CHARS],
    }
