"""Rows, samples and fair rounds: what every benchmark module builds its results from.

Nothing here measures anything by itself. Shapes: a Result is one row of the output's `results`; Samples are
the raw values of one contender in one unit.
"""

import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Better = Literal["lower", "higher"]

ROUNDS = 5
"""Fewest rounds a median may come from."""


class NotMeasuredError(Exception):
    """A figure could not be taken here: says which, why and what to do. Nothing is invented in its place."""

    def __init__(self, what: str, why: str, do: str) -> None:
        super().__init__(f"{what} was not measured: {why}. {do}")
        self.what, self.why, self.do = what, why, do


@dataclass(frozen=True, slots=True)
class Result:
    """One metric, alone or beside one peer.

    `target` bounds `ratio` (ours / peer) in a row with a peer, and `ours` in a row without one; which way is
    `better`'s: lower means at most, higher means at least. A metric with several peers, or with both a ratio
    and an absolute target, has several rows.
    """

    metric: str
    unit: str
    better: Better
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        if (self.peer is None) != (self.peer_name is None):
            raise ValueError(f"{self.metric}: peer and peer_name come together or not at all")
        for name in ("ours", "peer", "target"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{self.metric}: {name} is {value}, not a finite number")

    @property
    def ratio(self) -> float | None:
        """Ours / peer; None without a peer, or where the peer's value is 0."""
        return None if not self.peer else self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the target holds; None without a target. A target on a ratio that has none is not met."""
        if self.target is None:
            return None
        value = self.ours if self.peer_name is None else self.ratio
        if value is None:
            return False
        return value <= self.target if self.better == "lower" else value >= self.target

    def row(self) -> dict[str, object]:
        """The JSON object of this row: exactly the nine keys of the contract, numbers at six digits."""
        return {
            "metric": self.metric,
            "unit": self.unit,
            "better": self.better,
            "ours": _digits(self.ours),
            "peer": _digits(self.peer),
            "peer_name": self.peer_name,
            "ratio": _digits(self.ratio),
            "target": self.target,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of one contender in the order they were taken, all in one unit; never empty."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("no sample was taken")

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median; 0 where the median is 0. Says how much to trust the median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    def percentile(self, percent: float) -> float:
        """Nearest-rank percentile; with fewer than 100 / (100 - percent) values it is the largest one."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def interleave(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int = ROUNDS, warmup: int = 1, seed: int = 1
) -> dict[str, Samples]:
    """Run every contender once a round, in an order shuffled anew each round; each returns its own value.

    So a slow minute of the machine hits all of them alike. `warmup` rounds are run and thrown away.
    """
    if rounds < ROUNDS:
        raise ValueError(f"a median needs at least {ROUNDS} rounds, not {rounds}")
    order = random.Random(seed)
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(warmup + rounds):
        names = list(contenders)
        order.shuffle(names)
        for name in names:
            value = contenders[name]()
            if index >= warmup:
                taken[name].append(value)
    return {name: Samples(tuple(values)) for name, values in taken.items()}


def repeat(measure: Callable[[], float], *, rounds: int = ROUNDS, warmup: int = 1) -> Samples:
    """One contender alone: `warmup` calls thrown away, then `rounds` values."""
    return interleave({"": measure}, rounds=rounds, warmup=warmup)[""]


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds that one call of `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def say(text: str) -> None:
    """Progress for the person who waits; standard error, so that the result alone is on standard output."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, object]:
    """What the figures were taken on: processor, cores, memory in GiB, kernel, Python. No host name."""
    return {
        "cpu": _first_value("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
    }


def _first_value(path: str, key: str) -> str | None:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
