"""A bandwidth cap for all transfers together, and the hours in which there are any. Monotonic seconds as arguments."""

import re
import threading
from dataclasses import dataclass

HOURS = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$", re.ASCII)
BURST_S = 0.25
DAY_MINUTES = 24 * 60


class Throttle:
    """Bytes are paid for after they came: who brought them waits until the rate is kept."""

    def __init__(self, rate_bytes_s: int | None) -> None:
        self._rate = rate_bytes_s
        self._lock = threading.Lock()
        self._paid_to = 0.0

    def pay(self, count: int, now: float) -> float:
        """Seconds to wait before more is read."""
        if self._rate is None:
            return 0.0
        with self._lock:
            self._paid_to = max(self._paid_to, now - BURST_S) + count / self._rate
            return max(0.0, self._paid_to - now)

    def piece(self, most: int) -> int:
        """Bytes to read at a time, so that the rate is kept evenly."""
        return most if self._rate is None else max(16 << 10, min(most, int(self._rate * BURST_S) & -4_096))


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of the day up to another; over midnight when the end is before the begin."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """From HH:MM-HH:MM; ValueError."""
        found = HOURS.match(text)
        if found is None:
            raise ValueError(f"{text!r} is no time of the day as HH:MM-HH:MM")
        hours = [int(part) for part in found.groups()]
        return cls(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])

    def open_at(self, minute: int) -> bool:
        """Whether transfers may run in this minute of the local day."""
        if self.begin == self.end:
            return True
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end
