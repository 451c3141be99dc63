"""What the collectors' threads saw becomes the snapshot, in the thread that saw it, and is shown.

One thread has the beat: it looks each second, and shows what it saw at once. What others saw shortly before goes with
it, so that the alerts and the page are woken once a second and not once for each thread. A thread that is slow, or has
the beat behind it, shows by itself: nothing waits longer than NEAR_S. No actor is woken in between: on a machine that
sleeps, to come to a thread is dearer than what most of them do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from .collector import Collected
from .snapshot import Snapshot

NEAR_S = 0.1
"""What was seen so shortly before the beat waits for it."""


class Gathering:
    """Any thread calls it; `show` is called in order and must not block. `lock` is the runtime's."""

    def __init__(
        self, show: Callable[[Snapshot], None], now: Callable[[], float], lock: AbstractContextManager[object]
    ) -> None:
        self._show, self._now, self._lock = show, now, lock
        self._left: tuple[Collected, ...] = ()
        self._next_s = float("-inf")
        self.snapshot = Snapshot(0.0)

    def beat(self, seen: tuple[Collected, ...], next_s: float) -> None:
        """Of the thread that has the beat: what it saw, if anything, and when it comes again."""
        with self._lock:
            self._next_s = next_s
            self._together(seen)

    def put(self, seen: tuple[Collected, ...], _next_s: float = 0.0) -> None:
        """Of any other thread: with the next beat if that is near, else at once."""
        with self._lock:
            if 0.0 <= self._next_s - self._now() <= NEAR_S:
                self._left += seen
            else:
                self._together(seen)

    def now(self, seen: tuple[Collected, ...]) -> None:
        """At once, with what was left for a beat that did not come."""
        with self._lock:
            self._together(seen)

    def ended(self, name: str, at: float, interval_s: float) -> None:
        """A collector that has nothing to look at, which is known now."""
        health = Collected(name, at, interval_s, 0.0, {}).health() | {"ended": True}
        with self._lock:
            before = self.snapshot
            collectors = {**before.collectors, name: health}
            self.snapshot = before.with_part(at, {"collectors": collectors})
            self._show(self.snapshot)

    def _together(self, seen: tuple[Collected, ...]) -> None:
        parts, self._left = (*self._left, *seen), ()
        if parts:
            self.snapshot = merged(self.snapshot, parts)
            self._show(self.snapshot)


def merged(snapshot: Snapshot, parts: Sequence[Collected]) -> Snapshot:
    """The next snapshot, from looks that belong to one moment, in their order. Pure.

    Several collectors see the host, each a part of it: a figure that one of them says no more is gone.
    """
    collectors, rooms, hosts = dict(snapshot.collectors), dict[str, Any](), snapshot.host_parts
    for seen in parts:
        collectors[seen.name] = seen.health()
        rooms.update(seen.rooms)
        if "host" in seen.rooms:
            hosts = {**hosts, seen.name: seen.rooms["host"]}
    rooms["collectors"] = collectors
    return snapshot.with_part(parts[-1].at, rooms, None if hosts is snapshot.host_parts else hosts)
