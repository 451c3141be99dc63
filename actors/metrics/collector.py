"""What looks, and when. A thread runs its collectors on an absolute schedule and publishes what each has seen.

A tick that is missed is left out and counted, never made up for. What a collector raises is its own error: it is
counted and told, and the others of its thread go on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Rooms = Mapping[str, Mapping[str, Any]]
"""Room of the snapshot -> figures."""
ERROR_MAX_CHARS = 300
TOGETHER_S = 0.001
"""What is due so soon after is looked at in the same wake-up."""


class Waiter(Protocol):
    """A flag of the runtime: `wait` is the only sleep, `now` the clock that goes with it."""

    def now(self) -> float:
        """Monotonic seconds."""

    def is_set(self) -> bool:
        """Whether it was set."""

    def wait(self, timeout_s: float) -> bool:
        """Whether it was set within the time."""


@dataclass(frozen=True, slots=True)
class Collected:
    """From a collector's thread: what it saw; no rooms where it failed."""

    name: str
    at: float
    """Seconds since the epoch."""
    interval_s: float
    duration_s: float
    rooms: Rooms
    errors: int = 0
    """Looks that failed, since the start."""
    skipped: int = 0
    """Ticks that were left out since the look before took too long."""
    error: str = ""
    """Of this look."""

    def health(self) -> dict[str, Any]:
        """What is shown of the collector itself."""
        return {
            "at": self.at,
            "interval_s": self.interval_s,
            "duration_s": round(self.duration_s, 6),
            "errors_total": self.errors,
            "skipped_total": self.skipped,
            "error": self.error,
            "ended": False,
        }


@dataclass(slots=True)
class Collector:
    """One thing that looks every `interval_s` seconds; its thread alone touches it once it runs."""

    name: str
    interval_s: float
    look: Callable[[], Rooms | None]
    """None: there is nothing to look at, and never will be."""
    ask: Callable[[], None] | None = None
    """Sends the questions whose answers the look waits for; of all that is due it comes before the first look."""
    due_s: float = 0.0
    errors: int = 0
    skipped: int = field(default=0)
    asked: str = ""
    """What went wrong with the question."""
    took_s: float = 0.0
    """The last look."""
    ended: bool = False
    """Whether there is nothing to look at."""
    on_close: Callable[[], None] | None = None

    def before(self) -> None:
        """Ask, where the look has a question."""
        if self.ask is not None:
            self.asked = ""
            try:
                self.ask()
            except Exception as caught:  # noqa: BLE001  # told with the look
                self.asked = _words(caught)

    def close(self) -> None:
        """By the thread that looked last, after its last look."""
        if self.on_close is not None:
            self.on_close()

    def once(self, now: Callable[[], float], wall: Callable[[], float]) -> Collected | None:
        """Look, and set the next tick on the schedule; None where there is nothing to look at."""
        began_s = now()
        rooms: Rooms | None = {}
        error, self.asked = self.asked, ""
        if not error:
            try:
                rooms = self.look()
            except Exception as caught:  # noqa: BLE001  # whatever a driver or a file says wrong: counted, told, gone on
                error = _words(caught)
        self.errors += bool(error)
        if rooms is None:
            self.ended = True
            return None
        ended_s = now()
        self.took_s = ended_s - began_s
        self.due_s, missed = next_tick(self.due_s, self.interval_s, ended_s)
        self.skipped += missed
        return Collected(self.name, wall(), self.interval_s, self.took_s, rooms, self.errors, self.skipped, error)


@dataclass(slots=True)
class Chore:
    """What is done on the same schedule and sees nothing: it tells by itself."""

    name: str
    interval_s: float
    work: Callable[[], None]
    due_s: float = 0.0
    ended: bool = False

    def close(self) -> None:
        """Nothing is left open."""

    def before(self) -> None:
        """Nothing is asked."""

    def once(self, now: Callable[[], float], _wall: Callable[[], float]) -> None:
        """Do it, and set the next tick on the schedule."""
        self.work()
        self.due_s, _ = next_tick(self.due_s, self.interval_s, now())


def _words(caught: Exception) -> str:
    return f"{type(caught).__name__}: {caught}"[:ERROR_MAX_CHARS]


def next_tick(due_s: float, interval_s: float, now_s: float) -> tuple[float, int]:
    """The next tick after now on the schedule of `due_s`, and how many lie between. Pure."""
    missed = max(0, int((now_s - due_s) / interval_s))
    return due_s + (missed + 1) * interval_s, missed


def run(
    collectors: Sequence[Collector | Chore],
    flag: Waiter,
    wall: Callable[[], float],
    tell: Callable[[tuple[Collected, ...], float], None],
    beat_s: float | None = None,
) -> None:
    """In the collectors' thread, until the flag is set; `tell` gets what one wake-up saw, and when the next comes.

    All that is due at once is one wake-up: most of what a look costs is to come to it. The first look comes at once,
    since what starts wants to be seen; from then on ticks are on the grid of `beat_s`, or of the start.
    """
    start_s = flag.now()
    for collector in collectors:
        collector.due_s = start_s
    first = True
    while not flag.is_set():
        if flag.wait(min(one.due_s for one in collectors) - flag.now()):
            return
        now_s = flag.now()
        seen: list[Collected] = []
        due = [collector for collector in collectors if collector.due_s <= now_s + TOGETHER_S]
        for collector in due:
            collector.before()
        for collector in due:
            one = collector.once(flag.now, wall)
            if one is not None:
                seen.append(one)
            if first and beat_s is not None:
                collector.due_s = on_grid(beat_s, collector.interval_s, collector.due_s)
            if flag.is_set():
                return  # another thread does its work by now
        first = False
        tell(tuple(seen), min(one.due_s for one in collectors))


def on_grid(beat_s: float, interval_s: float, after_s: float) -> float:
    """The first moment at or after `after_s` that is a whole number of intervals from `beat_s`. Pure."""
    return beat_s + math.ceil(round((after_s - beat_s) / interval_s, 9)) * interval_s
