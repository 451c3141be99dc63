"""What a viewer is told: the facts in sections, each encoded once for all viewers, and only when it changed."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .board import Board
from .charted import charted
from .log_tail import LINES_MAX, LogTail

EVENTS_SHOWN = 60
TREE_EVERY = 2
"""Looks between two looks at the tree, whose mailboxes always move a little."""
EVENTS_EVERY = 5
BOARD_SECTIONS = ("agent", "link", "engines", "models", "transfers", "alerts")
HIDDEN = ("current_age_s",)
"""Of a tree's node: it changes with every look and is told with the commands."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One look: section -> JSON text, and the lines of the log that are new."""

    sections: Mapping[str, str]
    lines: tuple[Mapping[str, Any], ...] = ()
    left_out: bool = False


@dataclass(slots=True)
class _Told:
    """What was told last."""

    versions: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class Feed:
    """Used by one thread; between two viewers it holds nothing. `events` may block and is asked by the caller."""

    def __init__(self, board: Board, status: Callable[[], Any], tree: Callable[[], Any], tail: LogTail) -> None:
        self._board, self._status, self._tree, self._tail = board, status, tree, tail
        self._told = _Told()
        self._lines: deque[Mapping[str, Any]] = deque(maxlen=LINES_MAX)
        self._count = 0

    def begin(self) -> None:
        """The first viewer has come."""
        self._told, self._count = _Told(), 0
        self._lines.clear()
        self._tail.rewind()

    end = begin

    def wants_events(self) -> bool:
        """Whether this look should bring the journal's events."""
        return self._count % EVENTS_EVERY == 0

    def look(self, events: list[dict[str, Any]] | None = None) -> Frame:
        """What changed since the last look."""
        new: dict[str, str] = {}
        for name in (*BOARD_SECTIONS, "snapshot"):
            version = self._board.version(name)
            if self._told.versions.get(name) != version:
                self._told.versions[name] = version
                self._note(new, name, self._snapshot() if name == "snapshot" else self._board.get(name))
        self._note(new, "status", self._status())
        if self._count % TREE_EVERY == 0:
            self._note(new, "tree", _still(self._tree()))
        if events is not None:
            self._note(new, "events", events[-EVENTS_SHOWN:])
        self._count += 1
        found = self._tail.look()
        self._lines.extend(found.lines)
        return Frame(new, found.lines, found.left_out)

    def whole(self) -> Frame:
        """Everything that was told, for a viewer who comes later."""
        return Frame(dict(self._told.texts), tuple(self._lines))

    def _note(self, new: dict[str, str], name: str, value: Any) -> None:
        text = encode(value)
        if self._told.texts.get(name) != text:
            self._told.texts[name] = new[name] = text

    def _snapshot(self) -> Any:
        """The figures, with those of them that the charts go on with."""
        snapshot = self._board.get("snapshot")
        return None if snapshot is None else snapshot | {"charted": charted(snapshot)}


def encode(value: Any) -> str:
    """Compact JSON; what has no JSON, such as an infinite number, is null."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=str)
    except ValueError:
        return "null"


def joined(sections: Mapping[str, str]) -> str:
    """One JSON object of sections that are encoded already."""
    return "{" + ",".join(f'"{name}":{text}' for name, text in sections.items()) + "}"


def _still(node: Mapping[str, Any]) -> dict[str, Any]:
    """A tree without what moves at each look."""
    kept = {name: value for name, value in node.items() if name not in HIDDEN}
    if kept.get("next_restart_in_s") is not None:
        kept["next_restart_in_s"] = round(kept["next_restart_in_s"])
    return kept | {"children": [_still(child) for child in node.get("children", ())]}
