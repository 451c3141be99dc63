"""What reports carry: what changed since the last, everything now and then, and what was while nobody listened. Pure.

A figure that is gone is sent once as None. More figures than fit one message go as several, each with the same share
of the names every time, so that the link may join those of one key that wait.
"""

import json
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from protocol.messages.reports import Report

VALUES_MAX = 500
"""Of one message: with names of 100 characters it stays below the wire's 64 KiB."""
ALERTS_MAX = 256
TEXT_MAX_CHARS = 256
DRAIN_MAX = 20
"""Kept reports that are given out at a time, so that they do not fill the link's queue."""
KEY = "report"

Keyed = tuple[str, Report]
"""What the link joins by, and the report."""


class Spool:
    """Reports of the time without a master, oldest first, compressed; the oldest go when it is full."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._size = max_bytes, 0
        self._kept: deque[bytes] = deque()
        self.dropped = 0
        """Reports that had no room, since the start."""

    def put(self, report: Report) -> None:
        """Keep one more."""
        raw = zlib.compress(json.dumps(report.model_dump(mode="json"), separators=(",", ":")).encode(), 1)
        self._kept.append(raw)
        self._size += len(raw)
        while self._size > self._max_bytes and self._kept:
            self._size -= len(self._kept.popleft())
            self.dropped += 1

    def take(self, most: int) -> list[Report]:
        """The oldest so many."""
        found = [self._kept.popleft() for _ in range(min(most, len(self._kept)))]
        self._size -= sum(len(raw) for raw in found)
        return [Report.model_validate_json(zlib.decompress(raw)) for raw in found]

    @property
    def share(self) -> float:
        """How full it is, 0..1."""
        return self._size / self._max_bytes if self._max_bytes else 0.0

    def __len__(self) -> int:
        return len(self._kept)


class Reporter:
    """Remembers what was said last, and what could not be said."""

    def __init__(self, full_every: int, spool_max_bytes: int = 1 << 20) -> None:
        self._full_every, self._count = full_every, 0
        self._said: Mapping[str, Any] = {}
        self._waiting: list[Keyed] = []
        self._up = False
        self.spool = Spool(spool_max_bytes)

    def link_is(self, *, up: bool) -> None:
        """Whether there is a master now; a new one hears everything."""
        if up and not self._up:
            self._count = 0
        self._up = up

    def see(self, at_ms: int, values: Mapping[str, Any], alerts: Sequence[str] = ()) -> None:
        """The figures now: they wait for `take`, or in the spool while there is no master."""
        reports = self._make(at_ms, values, alerts)
        if self._up and not len(self.spool):
            self._waiting += reports
            return
        for _, report in reports:
            self.spool.put(report)

    @property
    def draining(self) -> bool:
        """Whether there is more to take now."""
        return self._up and len(self.spool) > 0

    def take(self) -> list[Keyed]:
        """What may be sent now, oldest first; what was kept goes a few at a time."""
        if not self._up:
            return []
        kept = [(f"{KEY}.{report.at_ms}.{number}", report) for number, report in enumerate(self.spool.take(DRAIN_MAX))]
        waiting, self._waiting = self._waiting, []
        return kept + waiting

    def _make(self, at_ms: int, values: Mapping[str, Any], alerts: Sequence[str]) -> list[Keyed]:
        """One report, or several where one does not hold everything; the first is the one that may be full."""
        full = self._count % self._full_every == 0
        begins = self._count == 0
        self._count += 1
        said, self._said = self._said, values
        chosen = {name: value for name, value in values.items() if full or said.get(name) != value}
        chosen |= dict.fromkeys(said.keys() - values.keys())
        parts = -(-max(1, len(values)) // VALUES_MAX)
        shares: list[dict[str, Any]] = [{} for _ in range(parts)]
        for name, value in chosen.items():
            short = name[:TEXT_MAX_CHARS]
            share = shares[zlib.crc32(short.encode()) % parts] if parts > 1 else shares[0]
            share[short] = value[:TEXT_MAX_CHARS] if isinstance(value, str) else value
        found: list[Keyed] = []
        for number, share in enumerate(shares):
            if share or number == 0:
                report = Report(
                    at_ms=at_ms,
                    full=number == 0 and full and (begins or parts == 1),
                    values=share,
                    alerts=tuple(alerts[:ALERTS_MAX]),
                )
                found.append((KEY if parts == 1 else f"{KEY}.{number}of{parts}", report))
        return found
