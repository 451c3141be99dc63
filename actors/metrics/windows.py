"""Figures over the last while: what a single look cannot say. Pure; time is an argument, in monotonic seconds."""

from collections import deque

SAMPLES_MAX = 4_096
"""Of one window; the oldest go first."""


class Window:
    """Values of the last `span_s` seconds; every answer costs the same however long the span is."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._kept: deque[tuple[float, float]] = deque()
        self._sum = self._grown = 0.0

    def add(self, at_s: float, value: float) -> None:
        """One more; what is older than the span is forgotten, but for one that spans it."""
        kept = self._kept
        if kept:
            self._grown += _step(kept[-1][1], value)
        kept.append((at_s, value))
        self._sum += value
        while len(kept) > 2 and (kept[1][0] <= at_s - self.span_s or len(kept) > SAMPLES_MAX):
            _, old = kept.popleft()
            self._sum -= old
            self._grown -= _step(old, kept[0][1])

    @property
    def covers_s(self) -> float:
        """Between the oldest and the newest value."""
        return self._kept[-1][0] - self._kept[0][0] if self._kept else 0.0

    def mean(self) -> float | None:
        """Of all values."""
        return self._sum / len(self._kept) if self._kept else None

    def growth(self) -> float | None:
        """What a counter grew by over the window; a step down is a reset and counts from zero."""
        return None if len(self._kept) < 2 else self._grown

    def slope(self) -> float | None:
        """A gauge's pace in units a second, from the first value to the last."""
        if self.covers_s <= 0:
            return None
        return (self._kept[-1][1] - self._kept[0][1]) / self.covers_s


class Slowed:
    """Shares of the last `span_s` seconds' looks at which a GPU was slowed for heat, and by its power brake."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._kept: deque[tuple[float, bool, bool]] = deque()
        self._hot = self._braked = 0

    def add(self, at_s: float, thermal: bool, brake: bool) -> None:
        """One more look; what is older than the span is forgotten, but for one that spans it."""
        kept = self._kept
        kept.append((at_s, thermal, brake))
        self._hot += thermal
        self._braked += brake
        while len(kept) > 2 and (kept[1][0] <= at_s - self.span_s or len(kept) > SAMPLES_MAX):
            _, hot, braked = kept.popleft()
            self._hot -= hot
            self._braked -= braked

    def shares(self) -> tuple[float | None, float | None]:
        """Of all looks that are kept."""
        count = len(self._kept)
        return (self._hot / count, self._braked / count) if count else (None, None)


class Grown:
    """What a counter grew by in the last `span_s` seconds, of one that seldom moves: its steps alone are kept."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._seen = 0
        self._before = self._total = 0.0
        self._steps: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    def see(self, at_s: float, value: float) -> None:
        """The counter now; a step down is a reset and counts from zero."""
        if self._seen and value != self._before:
            if len(self._steps) == SAMPLES_MAX:
                self._total -= self._steps[0][1]
            self._steps.append((at_s, _step(self._before, value)))
            self._total += self._steps[-1][1]
        self._seen += 1
        self._before = value
        while self._steps and self._steps[0][0] <= at_s - self.span_s:
            self._total -= self._steps.popleft()[1]

    @property
    def rests(self) -> bool:
        """Whether the same value again, whenever it comes, would change nothing."""
        return self._seen != 1 and not self._steps

    def growth(self) -> float | None:
        """Over the span; None before the second value."""
        return self._total if self._seen > 1 else None


def _step(before: float, after: float) -> float:
    return after - before if after >= before else after


class Recent:
    """Occurrences of the last `span_s` seconds."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._kept: deque[tuple[float, int]] = deque(maxlen=SAMPLES_MAX)

    def add(self, at_s: float, count: int = 1) -> None:
        """So many more now."""
        if count > 0:
            self._kept.append((at_s, count))

    def total(self, now_s: float) -> int:
        """How many there were."""
        while self._kept and self._kept[0][0] <= now_s - self.span_s:
            self._kept.popleft()
        return sum(count for _, count in self._kept)


class Growth:
    """What a counter grew by since it was last asked; the first value is the start, and a step down a reset."""

    def __init__(self) -> None:
        self._before: float | None = None
        self._new = 0.0

    def see(self, value: float) -> None:
        """The counter now."""
        if self._before is not None:
            self._new += value - self._before if value >= self._before else value
        self._before = value

    def take(self) -> int:
        """What is new; asked again it is nothing."""
        new, self._new = self._new, 0.0
        return int(new)
