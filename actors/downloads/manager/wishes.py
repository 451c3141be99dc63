"""What is wanted: what runs, what waits for a place, what rests. Pure, but for the file that keeps what people said.

A transfer that is paused gives its place, its memory and its connections up; what it brought stays on disk. It is said
by the commands that wanted it, so that a later pull of the same model does not find itself paused.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.downloads.disk import read_json, write_json
from actors.facts import TransferFacts
from protocol.keys import digest
from protocol.messages.model_source import ModelSource

FILE = ".transfers.json"
ID_CHARS = 16


@dataclass(frozen=True, slots=True)
class Wish:
    """One source that somebody wants."""

    wanted: str
    """What it is: equal for equal sources."""
    source: ModelSource
    priority: int
    came: int
    facts: TransferFacts
    commands: tuple[str, ...] = ()
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
            wish = Wish(wanted, source, priority, next(self._numbers), facts)
        if command_id not in wish.commands:
            wish = replace(wish, commands=(*wish.commands, command_id))
        return self.put(self._recalled(wish, command_id))

    def _recalled(self, wish: Wish, command_id: str) -> Wish:
        kept = self._kept.get(wish.wanted)
        if not isinstance(kept, dict) or command_id not in kept.get("commands", ()):
            return wish
        paused, priority = kept.get("paused") is True, kept.get("priority")
        priority = priority if isinstance(priority, int) else wish.priority
        facts = replace(wish.facts, state="paused") if paused else wish.facts
        return replace(wish, said=True, paused=paused, priority=priority, facts=facts)

    def put(self, wish: Wish) -> Wish:
        """It is so now."""
        self._all[wish.wanted] = wish
        return wish

    def begin(self, places: int) -> list[Wish]:
        """Those that have a place now, the more urgent first, then in the order they came; each has a transfer's name.

        A name of its own each time: the end of an earlier transfer of a source says nothing about this one.
        """
        free = places - sum(bool(wish.transfer_id) for wish in self._all.values())
        ready = [wish for wish in self._all.values() if not wish.transfer_id and not wish.paused]
        chosen = sorted(ready, key=lambda wish: (-wish.priority, wish.came))[: max(0, free)]
        return [self.put(_begun(wish, f"{wish.wanted}-{next(self._numbers)}")) for wish in chosen]

    def rest(self, wish: Wish) -> Wish:
        """Its actor ended as it was told to: it is paused, or waits for a place again."""
        state = "paused" if wish.paused else "queued"
        facts = replace(wish.facts, transfer_id=wish.wanted, state=state, rate_bytes_s=None, eta_s=None, why="")
        return self.put(replace(wish, transfer_id="", ending=False, facts=facts))

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


def _begun(wish: Wish, transfer_id: str) -> Wish:
    facts = replace(wish.facts, transfer_id=transfer_id, state="starting")
    return replace(wish, transfer_id=transfer_id, ending=False, facts=facts)
