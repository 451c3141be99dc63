"""What the collectors' threads saw, on its way to the actor: told together where nobody waits for it.

One thread has the beat: it looks each second, and tells what it saw at once. What others saw shortly before goes with
it, so that the actor, the alerts and the page are woken once a second and not once for each thread. A thread that is
slow, or has the beat behind it, tells by itself: nothing waits longer than NEAR_S.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .collector import Collected

NEAR_S = 0.1
"""What was seen so shortly before the beat waits for it."""


@dataclass(frozen=True, slots=True)
class Looked:
    """To the sampler: looks that belong to one moment, in their order."""

    parts: tuple[Collected, ...]


class Gathering:
    """Any thread calls it; `tell` must not block."""

    def __init__(self, tell: Callable[[Looked], None], now: Callable[[], float]) -> None:
        self._tell, self._now = tell, now
        self._lock = threading.Lock()
        self._left: tuple[Collected, ...] = ()
        self._next_s = float("-inf")

    def beat(self, seen: tuple[Collected, ...], next_s: float) -> None:
        """Of the thread that has the beat: what it saw, and when it comes again."""
        with self._lock:
            left, self._left = self._left, ()
            self._next_s = next_s
        self._tell(Looked((*left, *seen)))

    def put(self, seen: tuple[Collected, ...], _next_s: float = 0.0) -> None:
        """Of any other thread: with the next beat if that is near, else at once."""
        with self._lock:
            if 0.0 <= self._next_s - self._now() <= NEAR_S:
                self._left += seen
                return
        self.now(seen)

    def now(self, seen: tuple[Collected, ...]) -> None:
        """At once, with what was left for a beat that did not come."""
        with self._lock:
            left, self._left = self._left, ()
        self._tell(Looked((*left, *seen)))
