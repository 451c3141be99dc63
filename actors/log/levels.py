"""Which records are written: one level for all, others for single actors, changed while the process runs."""

from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

import structlog

LEVELS: Mapping[str, int] = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50})
ALL = ""


class Levels:
    """A structlog processor, the first: what is below the level of its actor goes no further."""

    def __init__(self, level: str) -> None:
        self._of: dict[str, int] = {ALL: LEVELS[level]}

    def change(self, level: str, actor: str = ALL) -> None:
        """From now on. ValueError: there is no such level."""
        if level not in LEVELS:
            raise ValueError(f"no level {level!r}; there are: {', '.join(LEVELS)}")
        self._of = {**self._of, actor: LEVELS[level]}

    def now(self) -> dict[str, str]:
        """Actor -> level; the empty name is everybody else."""
        names = {number: name for name, number in LEVELS.items()}
        return {actor: names[number] for actor, number in self._of.items()}

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let it pass, or drop it."""
        of = self._of
        least = of[ALL] if len(of) == 1 else of.get(str(event.get("actor", ALL)), of[ALL])
        if LEVELS.get(method, 20) < least:
            raise structlog.DropEvent
        return event
