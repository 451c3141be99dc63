"""Counts equal events instead of writing each: a loop that fails fast must not fill the disk."""

from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

WINDOW_S = 60.0
KEYS_MAX = 2_000
"""Distinct events that are counted at a time; beyond it the table starts anew."""


class RepeatLimit:
    """A structlog processor: at most `per_min` records of one event and actor a minute, then a summary."""

    def __init__(self, per_min: int, clock: Callable[[], float]) -> None:
        self._per_min = per_min
        self._clock = clock
        self._seen: dict[tuple[object, ...], tuple[float, int]] = {}

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let the record pass, pass it with a count of what was held back, or drop it."""
        if method in ("error", "critical"):
            return event
        key = (event.get("event"), event.get("actor"), event.get("engine"))
        now = self._clock()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= WINDOW_S:
            if count > self._per_min:
                event["repeated"] = count - self._per_min
            since, count = now, 0
        if len(self._seen) >= KEYS_MAX and key not in self._seen:
            self._seen.clear()
        self._seen[key] = (since, count + 1)
        if count >= self._per_min:
            raise structlog.DropEvent
        return event
