"""What is wanted: what runs, what waits for a place, what rests. Pure, but for the file that keeps what people said.

A transfer that is paused gives its place, its memory and its connections up; what it brought stays on disk. It is said
by the commands that wanted it, so that a later pull of the same model does not find itself paused.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.downloads.disk import read_json, write_json
from actors.facts import TransferFacts
from protocol.keys import digest
from protocol.messages.model_source import ModelSource

FILE = ".transfers.json"
ID_CHARS = 16


@dataclass(slots=True)
class Wish:
    """One source that somebody wants."""

    wanted: str
    """What it is: equal for equal sources."""
    source: ModelSource
    priority: int
    came: int
    facts: TransferFacts
    commands: list[str] = field(default_factory=list)
    """Those that are answered when it ends."""
    transfer_id: str = ""
    """Of its actor; empty while it has none."""
    paused: bool = False
    cancelled: bool = False
    ending: bool = False
    """Whether its actor was told to end."""
    said: bool = False
    """Whether somebody paused it, or gave it another priority than its pull did."""


class Wishes:
    """All of them. `root`: the folder of the models, where what people said is kept over restarts."""

    def __init__(self, root: Path) -> None:
        self._file = root / FILE
        self._all: dict[str, Wish] = {}
        self._numbers = itertools.count(1)
        self._kept = read_json(self._file)

    def add(self, command_id: str, source: ModelSource, priority: int) -> Wish:
        """One more command wants that; its wish."""
        wanted = digest(source.model_dump_json().encode()).hex()[:ID_CHARS]
        wish = self._all.get(wanted)
        if wish is None:
            facts = TransferFacts(wanted, source.model, source.revision, "queued", 0, 0)
            wish = self._all[wanted] = Wish(wanted, source, priority, next(self._numbers), facts)
        if command_id not in wish.commands:
            wish.commands.append(command_id)
        self._recall(wish, command_id)
        return wish

    def _recall(self, wish: Wish, command_id: str) -> None:
        kept = self._kept.get(wish.wanted)
        if isinstance(kept, dict) and command_id in kept.get("commands", ()):
            wish.said, wish.paused = True, kept.get("paused") is True
            if isinstance(kept.get("priority"), int):
                wish.priority = kept["priority"]
            if wish.paused:
                wish.facts = replace(wish.facts, state="paused")

    def begin(self, places: int) -> list[Wish]:
        """Those that have a place now, the more urgent first, then in the order they came; each has a transfer's name.

        A name of its own each time: the end of an earlier transfer of a source says nothing about this one.
        """
        free = places - sum(bool(wish.transfer_id) for wish in self._all.values())
        ready = [wish for wish in self._all.values() if not wish.transfer_id and not wish.paused]
        chosen = sorted(ready, key=lambda wish: (-wish.priority, wish.came))[: max(0, free)]
        for wish in chosen:
            wish.transfer_id, wish.ending = f"{wish.wanted}-{next(self._numbers)}", False
            wish.facts = replace(wish.facts, transfer_id=wish.transfer_id, state="starting")
        return chosen

    def rest(self, wish: Wish) -> None:
        """Its actor ended as it was told to: it is paused, or waits for a place again."""
        wish.transfer_id, wish.ending = "", False
        state = "paused" if wish.paused else "queued"
        wish.facts = replace(wish.facts, transfer_id=wish.wanted, state=state, rate_bytes_s=None, eta_s=None, why="")

    def end(self, wish: Wish) -> None:
        """It is here, or will not come."""
        del self._all[wish.wanted]
        if self._kept.pop(wish.wanted, None) is not None:
            self.keep()

    def keep(self) -> None:
        """What people said is on disk when this returns; OSError."""
        said: dict[str, Any] = {
            wish.wanted: {"commands": wish.commands, "paused": wish.paused, "priority": wish.priority}
            for wish in self._all.values()
            if wish.said
        }
        # After a restart, those whose commands have not come again yet are still meant.
        self._kept = {key: one for key, one in self._kept.items() if key not in self._all} | said
        write_json(self._file, self._kept)

    def of(self, model: str, revision: str | None) -> tuple[Wish, ...]:
        """Those of a model; of one revision, as it was asked for, when that is named."""
        every = (wish for wish in self._all.values() if wish.source.model == model)
        return tuple(wish for wish in every if revision is None or wish.source.revision == revision)

    def by_transfer(self, transfer_id: str) -> Wish | None:
        """The one whose actor has that name."""
        return next((wish for wish in self._all.values() if wish.transfer_id == transfer_id), None)

    def is_stray(self, transfer_id: str) -> bool:
        """Whether it brings what is wanted and nobody steers it: a manager that crashed began it under that name."""
        wish = self._all.get(transfer_id.rpartition("-")[0])
        return wish is not None and wish.transfer_id != transfer_id

    def facts(self) -> Iterable[TransferFacts]:
        """How far each is: those that run first, then as they will."""
        order = sorted(self._all.values(), key=lambda wish: (not wish.transfer_id, -wish.priority, wish.came))
        return [wish.facts for wish in order]
