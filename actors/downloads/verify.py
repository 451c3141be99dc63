"""Reads a version again and compares it with what was proven when it came. Blocking; for a task thread."""

from collections.abc import Callable
from typing import Protocol

from .bodies.api import Cancelled
from .errors import DownloadError
from .proof import digests
from .records import Version, load_files


class Flag(Protocol):
    """Of the task: its clock, its waits, its end."""

    def is_set(self) -> bool:
        """Whether it shall end."""

    def wait(self, timeout: float, /) -> bool:
        """Wait for that."""

    def now(self) -> float:
        """Monotonic seconds."""


class Pace:
    """Keeps a rate over the whole of a reading, and ends it when asked."""

    def __init__(self, flag: Flag, bytes_s: int | None, told: Callable[[int], None]) -> None:
        self._flag, self._bytes_s, self._told = flag, bytes_s, told
        self._begun, self._done = flag.now(), 0

    def read(self, count: int) -> None:
        """So many bytes more were read; waits when that was too fast."""
        self._done += count
        self._told(self._done)
        ahead_s = 0.0 if self._bytes_s is None else self._done / self._bytes_s - (self._flag.now() - self._begun)
        if self._flag.is_set() or (ahead_s > 0 and self._flag.wait(ahead_s)):
            raise Cancelled


def verify(version: Version, pace: Pace) -> tuple[str, ...]:
    """Names of files that are gone, unreadable, or not what they were; Cancelled when it shall end."""
    wrong = []
    for kept in load_files(version.repo, version.commit) or ():
        try:
            # Without the page cache: a look at all models must not push out what engines read.
            seen = digests(version.folder / kept.name, pace.read, keep_cached=False)
        except DownloadError:
            seen = None
        if seen is None or (seen.size_bytes, seen.sha256) != (kept.size_bytes, kept.sha256):
            wrong.append(kept.name)
    return tuple(wrong)


def next_due(versions: tuple[Version, ...], every_s: float, now: float) -> Version | None:
    """The version whose verification is longest ago, if it is due. Pure; 0 seconds: never."""
    oldest = min(versions, key=lambda version: (version.state.verified_at, version.key), default=None)
    if oldest is None or not every_s or now - oldest.state.verified_at < every_s:
        return None
    return oldest
