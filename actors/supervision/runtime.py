"""The only ways of this room to a thread, a clock, a random number and a wait.

Everything else here is built on these: mailboxes and futures park, the timer wheel and the watchdog are
workers that park with a timeout, tasks and incarnations are workers. A runtime of greenlets on a virtual
clock is a second implementation of the same five words, with nothing else to replace.
"""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Parker(Protocol):
    """Where one worker waits to be woken. A wake before the wait is remembered, once."""

    def park(self, timeout_s: float | None) -> bool:
        """Wait until woken; False when `timeout_s` passed first. None waits for ever."""
        ...

    def unpark(self) -> None:
        """Wake the waiting worker, or the next wait; never blocks, never raises."""
        ...


class Worker(Protocol):
    """A started thread or greenlet."""

    name: str

    def is_alive(self) -> bool:
        """Whether its function has not returned yet."""
        ...

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False when it still runs."""
        ...

    def stack(self) -> str:
        """Where it is now, as text; empty when unknown."""
        ...


class Runtime(Protocol):
    """Threads, time, chance and waiting."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def rng(self, name: str) -> random.Random:
        """A generator of its own for `name`; equal seeds give equal sequences."""
        ...

    def lock(self) -> AbstractContextManager[object]:
        """Mutual exclusion for a few lines; no holder ever parks."""
        ...

    def parker(self) -> Parker:
        """A new place to wait."""
        ...

    def spawn(self, name: str, fn: Callable[[], None]) -> Worker:
        """Start a worker in a copy of the caller's context; it never keeps the process alive.

        Raises:
            RuntimeError: the system has no thread left.

        """
        ...
