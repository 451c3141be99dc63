"""Reads files again and says what they are. Blocking; for a task thread."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import DownloadError

READ_BYTES = 1 << 20
Read = Callable[[int], None]
"""Told of bytes that were read; may wait (to keep a rate) and may raise (to end)."""


def unread(_count: int) -> None:
    """Nobody counts, and nobody ends it."""


@dataclass(frozen=True, slots=True)
class Digests:
    """What a file is."""

    size_bytes: int
    sha256: str
    git_sha1: str

    def named(self, proof: str) -> str:
        """The one that a proof speaks of."""
        return self.sha256 if proof == "sha256" else self.git_sha1


def digests(file: Path, read: Read = unread, *, git: bool = False, keep_cached: bool = True) -> Digests | None:
    """Of a regular file, no link followed; None when there is none. DownloadError when the disk cannot read it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            return None
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % seen.st_size, usedforsecurity=False)
        size, buffer = 0, memoryview(bytearray(READ_BYTES))
        while count := os.preadv(descriptor, [buffer], size):
            block = buffer[:count]
            sha256.update(block)
            if git:
                sha1.update(block)
            if not keep_cached:  # a look at all models must not push out of memory what engines read
                os.posix_fadvise(descriptor, size, count, os.POSIX_FADV_DONTNEED)
            size += count
            read(count)
        return Digests(size, sha256.hexdigest(), sha1.hexdigest() if git else "")
    except OSError as error:
        why = f"{error.strerror}; the disk may be failing"
        raise DownloadError(
            "E_STORE", f"{file.name} cannot be read", why, "look at the disk, then pull again"
        ) from error
    finally:
        os.close(descriptor)
