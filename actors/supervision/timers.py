"""The timer wheel: one worker with a heap. It posts what it was given and never runs an actor's code."""

import heapq
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from .envelope import Token

if TYPE_CHECKING:
    from .runtime import Runtime, Worker


PURGE_MIN = 256
"""Below this many entries, cancelled timers may stay until they are due."""


class Timer(Token):
    """A message to come; cancelling is idempotent, and works until the message is delivered."""

    __slots__ = ("due_at",)

    def __init__(self, due_at: float) -> None:
        super().__init__()
        self.due_at = due_at

    def cancel(self) -> None:
        """The message will not be delivered any more."""
        self.live = False


class Timers:
    """Calls `post` when a timer is due; `post` must only put something into a mailbox."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._lock = runtime.lock()
        self._parker = runtime.parker()
        self._heap: list[tuple[float, int, Timer, Callable[[Timer], object]]] = []
        self._serial = itertools.count()
        self._purge_at = PURGE_MIN
        self._worker: Worker | None = None
        self._ended = False

    def start(self) -> None:
        """Start the worker."""
        self._worker = self._runtime.spawn("timers", self._run)

    def stop(self, timeout_s: float) -> bool:
        """End the worker; what is armed is forgotten."""
        self._ended = True
        self._parker.unpark()
        return self._worker is None or self._worker.join(timeout_s)

    def after(self, delay_s: float, post: Callable[[Timer], object]) -> Timer:
        """Arm a timer: `post(timer)` is called once, `delay_s` seconds from now, unless it was cancelled."""
        timer = Timer(self._runtime.now() + max(0.0, delay_s))
        with self._lock:
            if len(self._heap) >= self._purge_at:
                self._purge()
            heapq.heappush(self._heap, (timer.due_at, next(self._serial), timer, post))
            first = self._heap[0][2] is timer
        if first:
            self._parker.unpark()
        return timer

    def _purge(self) -> None:
        """Forget what was cancelled; seldom enough that each timer pays a constant share."""
        self._heap = [entry for entry in self._heap if entry[2].live]
        heapq.heapify(self._heap)
        self._purge_at = max(PURGE_MIN, 2 * len(self._heap))

    def __len__(self) -> int:
        """How many are armed."""
        return sum(1 for _, _, timer, _ in tuple(self._heap) if timer.live)

    def _run(self) -> None:
        while not self._ended:
            due, wait_s = self._due()
            for timer, post in due:
                post(timer)
            self._parker.park(wait_s)

    def _due(self) -> tuple[list[tuple[Timer, Callable[[Timer], object]]], float | None]:
        due = []
        with self._lock:
            now = self._runtime.now()
            while self._heap and (self._heap[0][0] <= now or not self._heap[0][2].live):
                _, _, timer, post = heapq.heappop(self._heap)
                if timer.live:
                    due.append((timer, post))
            wait_s = max(0.0, self._heap[0][0] - now) if self._heap else None
        return due, wait_s
