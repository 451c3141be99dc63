"""What a report carries: what changed since the last, and everything now and then. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.messages.reports import Report

VALUES_MAX = 1_000
ALERTS_MAX = 256
TEXT_MAX_CHARS = 256


class Reporter:
    """Remembers what was said last."""

    def __init__(self, full_every: int) -> None:
        self._full_every, self._count = full_every, 0
        self._said: dict[str, Any] = {}

    def make(self, at_ms: int, values: Mapping[str, Any], alerts: Sequence[str] = ()) -> Report:
        """The next report; one with all figures comes regularly, so that a lost one is soon made good."""
        full = self._count % self._full_every == 0
        self._count += 1
        chosen = {key: value for key, value in values.items() if full or self._said.get(key) != value}
        self._said = dict(values)
        kept = dict(list(chosen.items())[:VALUES_MAX])
        return Report(
            at_ms=at_ms,
            full=full,
            values={key[:TEXT_MAX_CHARS]: _short(value) for key, value in kept.items()},
            alerts=tuple(alerts[:ALERTS_MAX]),
        )


def _short(value: Any) -> Any:
    return value[:TEXT_MAX_CHARS] if isinstance(value, str) else value
