"""Lines that wait to be forwarded: bounded in number and bytes, filled from any thread, never blocking.

A full buffer gives up its oldest line below a warning, else its oldest; each one is counted.
"""

import threading
from collections import deque
from typing import NamedTuple

GRAVE = frozenset({"warning", "error", "critical"})


class Line(NamedTuple):
    """One rendered record."""

    level: str
    text: str
    """The JSON object as it stands in the file."""


class LineBuffer:
    """For one target."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self._max_lines, self._max_bytes = max_lines, max_bytes
        self._lock = threading.Lock()
        self._grave: deque[tuple[int, Line]] = deque()
        self._light: deque[tuple[int, Line]] = deque()
        self._number = self._bytes = 0
        self.dropped = 0
        """Lines that had no room, since the start."""

    def put(self, line: Line) -> None:
        """One more, the newest."""
        with self._lock:
            self._number += 1
            self._bytes += len(line.text)
            (self._grave if line.level in GRAVE else self._light).append((self._number, line))
            while len(self) > self._max_lines or self._bytes > self._max_bytes:
                _, lost = (self._light or self._grave).popleft()
                self._bytes -= len(lost.text)
                self.dropped += 1

    def take(self, most: int) -> list[Line]:
        """The oldest so many, in order."""
        found: list[Line] = []
        with self._lock:
            while len(found) < most and (self._grave or self._light):
                found.append(self._oldest().popleft()[1])
                self._bytes -= len(found[-1].text)
        return found

    def give_back(self, lines: list[Line]) -> None:
        """What could not be sent, in front of everything again; as far as there is room."""
        with self._lock:
            for line in reversed(lines):
                if len(self) >= self._max_lines or self._bytes + len(line.text) > self._max_bytes:
                    self.dropped += 1
                    continue
                self._bytes += len(line.text)
                (self._grave if line.level in GRAVE else self._light).appendleft((0, line))

    def _oldest(self) -> deque[tuple[int, Line]]:
        if not self._grave or not self._light:
            return self._grave or self._light
        return self._grave if self._grave[0][0] <= self._light[0][0] else self._light

    def __len__(self) -> int:
        return len(self._grave) + len(self._light)
