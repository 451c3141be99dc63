"""Reads a version again and compares it with what was proven when it came. Blocking; for a task thread."""

import contextvars
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from .bodies.api import Cancelled
from .errors import DownloadError
from .proof import Read, digests
from .records import KeptFile, Version, load_files

LARGE_BYTES = 256 << 20
"""Below it one reader is quick enough."""
READERS_MAX = 4
LOOK_S = 0.1
NICE = 10


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


def verify(version: Version, pace: Pace, readers: int = 1) -> tuple[str, ...]:
    """Names of files that are gone, unreadable, or not what they were; Cancelled when it shall end.

    A large version is read by several `readers`, each with the least claim to a core that others want.
    """
    files = load_files(version.repo, version.commit) or ()
    if min(readers, len(files)) > 1 and version.size_bytes >= LARGE_BYTES:
        return _by_several(version, files, pace, min(readers, len(files)))
    return tuple(kept.name for kept in files if not _right(version.folder, kept, pace.read))


def _right(folder: Path, kept: KeptFile, read: Read) -> bool:
    try:
        # Without the page cache: a look at all models must not push out what engines read.
        seen = digests(folder / kept.name, read, keep_cached=False)
    except DownloadError:
        return False
    return seen is not None and (seen.size_bytes, seen.sha256) == (kept.size_bytes, kept.sha256)


def _by_several(version: Version, files: Sequence[KeptFile], pace: Pace, readers: int) -> tuple[str, ...]:
    """The largest first, so that they end together. Only this thread paces, tells and decides that it is enough."""
    enough, came = threading.Event(), SimpleQueue[int]()

    def read(count: int) -> None:
        came.put(count)
        if enough.is_set():
            raise Cancelled

    with ThreadPoolExecutor(readers, "verify", _humble) as pool:
        order = sorted(files, key=lambda kept: -kept.size_bytes)
        running = {
            pool.submit(contextvars.copy_context().run, _right, version.folder, kept, read): kept.name for kept in order
        }
        try:
            left = set(running)
            while left:
                _, left = wait(left, LOOK_S)
                pace.read(sum(came.get() for _ in range(came.qsize())))
        except BaseException:
            enough.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    wrong = {name for done, name in running.items() if not done.result()}
    return tuple(kept.name for kept in files if kept.name in wrong)


def _humble() -> None:
    """Of this thread alone, as Linux has it; never more than the process has."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def readers() -> int:
    """How many read when somebody waits for it: as many as there are cores, within bounds."""
    return min(READERS_MAX, len(os.sched_getaffinity(0)))


def next_due(versions: tuple[Version, ...], every_s: float, now: float) -> Version | None:
    """The version whose verification is longest ago, if it is due. Pure; 0 seconds: never."""
    oldest = min(versions, key=lambda version: (version.state.verified_at, version.key), default=None)
    if oldest is None or not every_s or now - oldest.state.verified_at < every_s:
        return None
    return oldest
