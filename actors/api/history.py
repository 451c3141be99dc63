"""What the charts show: fifteen minutes finely, a day by the minute. Pure; time is given.

Every series has two rings of half-precision numbers (11 bits: 0.05 %, up to 65504), two bytes a slot, where a slot
without a sample holds NaN and stays a gap: with 5 s steps 3.2 KiB a series, so at most 450 KiB for 128 series.
A slot is a span of monotonic time, so a clock that is set does not tear the axis; a look maps it to the calendar.
"""

import math
import struct
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

FINE_SPAN_S = 900.0
COARSE_SPAN_S = 86_400.0
COARSE_STEP_S = 60.0
STEPS_S = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 300)
"""Steps of the fine rings: up to a minute they divide it."""
SERIES_MAX = 128
LARGEST = 65_504.0
JITTER = 1.9
"""Steps between two samples that make a hole of one slot the schedule's jitter, and not a missing sample."""
NOTHING = struct.pack("<e", math.nan)


@dataclass(frozen=True, slots=True)
class Reading:
    """One span of every series, oldest first; `begins_at` is the first slot's, in seconds since the epoch."""

    step_s: float
    begins_at: float
    series: Mapping[str, bytes]
    left_out: int
    """Series that found no place."""


class _Ring:
    """Slots of one step; `lines` of equal length share one head."""

    def __init__(self, step_s: float, span_s: float) -> None:
        self.step_s, self.slots = step_s, int(span_s / step_s)
        self.head: int | None = None
        self.lines: dict[str, bytearray] = {}

    def advance(self, bucket: int) -> None:
        """Make `bucket` the newest; what no sample filled since is empty."""
        first = bucket if self.head is None else self.head + 1
        for empty in range(max(first, bucket - self.slots + 1), bucket + 1):
            at = empty % self.slots * 2
            for line in self.lines.values():
                line[at : at + 2] = NOTHING
        self.head = bucket

    def put(self, name: str, bucket: int, value: float) -> None:
        """The value of a slot, the newest wins."""
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = bytearray(NOTHING * self.slots)
        struct.pack_into("<e", line, bucket % self.slots * 2, max(-LARGEST, min(LARGEST, value)))

    def mean(self, name: str, first: int, count: int) -> float | None:
        """Of the slots that hold something, up to the newest."""
        line, total, found = self.lines[name], 0.0, 0
        for bucket in range(first, min(first + count, (self.head or 0) + 1)):
            (value,) = struct.unpack_from("<e", line, bucket % self.slots * 2)
            if not math.isnan(value):
                total, found = total + value, found + 1
        return total / found if found else None

    def read(self, name: str) -> bytes:
        """Its slots in order of time."""
        line, cut = self.lines[name], ((self.head or 0) + 1) % self.slots * 2
        return bytes(line[cut:] + line[:cut])


class History:
    """Written by one thread, read by others. `step_s` is the least time between two samples."""

    def __init__(self, step_s: float = 5.0, series_max: int = SERIES_MAX) -> None:
        step = float(next((step for step in STEPS_S if step >= step_s), STEPS_S[-1]))
        coarse = max(COARSE_STEP_S, step)
        self._fine, self._coarse = _Ring(step, FINE_SPAN_S), _Ring(coarse, COARSE_SPAN_S)
        self._rings = {"15m": self._fine, "24h": self._coarse}
        self._each = int(coarse / step)
        self._series_max = series_max
        self._seen_s: dict[str, float] = {}
        self._now_s, self._wall, self._left_out = -math.inf, 0.0, 0
        self._lock = threading.Lock()

    @property
    def spans(self) -> Collection[str]:
        """What can be asked for."""
        return self._rings.keys()

    def wants(self, now_s: float) -> bool:
        """Whether a sample would be the first of its step: more of them say little, and cost."""
        return int(now_s // self._fine.step_s) != self._fine.head

    def add(self, now_s: float, wall: float, values: Mapping[str, float]) -> None:
        """One sample: monotonic seconds, seconds since the epoch, and the figures that are known."""
        bucket = int(now_s // self._fine.step_s)
        with self._lock:
            if now_s < self._now_s:
                return
            bridge = bucket - 1 if self._jittered(bucket, now_s) else bucket
            self._advance(bucket, now_s)
            self._left_out = 0
            for name, value in values.items():
                if math.isfinite(value) and self._has_place(name, now_s):
                    self._put(name, range(bridge, bucket + 1), value)
            self._now_s, self._wall = now_s, wall

    def read(self, span: str, names: Collection[str] = ()) -> Reading:
        """`15m` or `24h` of the named series, or of all; KeyError when there is no such span."""
        ring = self._rings[span]
        with self._lock:
            if ring is self._coarse:
                self._take_minute()
            chosen = [name for name in ring.lines if not names or name in names]
            oldest_s = ((ring.head or 0) - ring.slots + 1) * ring.step_s
            begins_at = self._wall + oldest_s - self._now_s if ring.head is not None else 0.0
            return Reading(ring.step_s, begins_at, {name: ring.read(name) for name in chosen}, self._left_out)

    def _jittered(self, bucket: int, now_s: float) -> bool:
        return self._fine.head == bucket - 2 and now_s - self._now_s < JITTER * self._fine.step_s

    def _advance(self, bucket: int, now_s: float) -> None:
        if self._coarse.head != bucket // self._each:
            self._take_minute()
            self._coarse.advance(bucket // self._each)
            for name in [name for name, seen_s in self._seen_s.items() if now_s - seen_s > COARSE_SPAN_S]:
                self._forget(name)
        self._fine.advance(bucket)

    def _put(self, name: str, buckets: range, value: float) -> None:
        for bucket in buckets:
            self._fine.put(name, bucket, value)

    def _take_minute(self) -> None:
        """Put the mean of the newest minute so far into the day."""
        minute = self._coarse.head
        if minute is None:
            return
        for name in self._fine.lines:
            mean = self._fine.mean(name, minute * self._each, self._each)
            if mean is not None:
                self._coarse.put(name, minute, mean)

    def _has_place(self, name: str, now_s: float) -> bool:
        """A new series takes the place of the one that is silent for longest, of none that still comes."""
        if name not in self._seen_s and len(self._seen_s) >= self._series_max:
            oldest = min(self._seen_s, key=self._seen_s.__getitem__)
            if now_s - self._seen_s[oldest] <= 2 * self._fine.step_s:
                self._left_out += 1
                return False
            self._forget(oldest)
        self._seen_s[name] = now_s
        return True

    def _forget(self, name: str) -> None:
        del self._seen_s[name]
        for ring in self._rings.values():
            ring.lines.pop(name, None)


def values_of(packed: bytes) -> list[float | None]:
    """The numbers of a packed series, None where there was no sample."""
    return [None if math.isnan(value) else value for value in struct.unpack(f"<{len(packed) // 2}e", packed)]


def json_of(packed: bytes) -> str:
    """The same as a JSON list, four digits each."""
    numbers = struct.unpack(f"<{len(packed) // 2}e", packed)
    return "[" + ",".join(["null" if math.isnan(value) else f"{value:.4g}" for value in numbers]) + "]"
