"""A file that is not complete yet: preallocated, written past the page cache where the file system allows it."""

import contextlib
import errno
import os
from pathlib import Path

from actors.downloads.errors import DownloadError, SpaceError

from .buffers import ALIGN_BYTES, aligned

BUFFERED_WRITE_BYTES = 1 << 20
"""Larger buffered writes by several threads wait for each other in the kernel."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_DIRECT = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


def failed(name: str, error: OSError) -> DownloadError:
    """What a person is told of an error of the disk."""
    if error.errno in NO_ROOM:
        return SpaceError("E_SPACE", f"{name} cannot be written", str(error), "free space in the model store")
    return DownloadError(
        "E_STORE", f"{name} cannot be written", f"{error}; the disk may be failing", "look at the disk, then pull again"
    )


class PartialFile:
    """Positional reads and writes by any thread. Every error of the disk is a DownloadError, except on reading."""

    def __init__(self, path: Path, name: str, size_bytes: int) -> None:
        self._path, self._name, self._size = path, name, size_bytes
        self._fd, self._past_cache = -1, False
        self._direct: int | None = None
        new = not path.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._prepare()
        except OSError as error:
            self.close()
            if new:  # what has no room for itself leaves nothing behind
                path.unlink(missing_ok=True)
            raise failed(name, error) from error

    def _prepare(self) -> None:
        self._direct = self._open_direct()
        self._past_cache = self._direct is not None
        if os.fstat(self._fd).st_size != aligned(self._size):
            os.ftruncate(self._fd, aligned(self._size))
        self._allocate()

    def _open_direct(self) -> int | None:
        """A second descriptor that goes past the page cache; None where the file system refuses (tmpfs, some NFS)."""
        if self._size < BUFFERED_WRITE_BYTES:
            return None
        try:
            return os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECT)
        except OSError as error:
            if error.errno in NO_DIRECT:
                return None
            raise

    def _allocate(self) -> None:
        """The room is taken now, so that a full disk is known before the first byte."""
        if self._size >= BUFFERED_WRITE_BYTES:
            os.posix_fallocate(self._fd, 0, aligned(self._size))

    def write(self, view: memoryview, at: int) -> None:
        """All of it; `at` is aligned, and the memory behind `view` reaches to the next page."""
        try:
            if self._past_cache and self._write_direct(view, at):
                return
            self._write(self._fd, view, at, BUFFERED_WRITE_BYTES)
        except OSError as error:
            raise failed(self._name, error) from error

    def _write_direct(self, view: memoryview, at: int) -> bool:
        assert self._direct is not None
        try:
            self._write(self._direct, view, at, len(view))
        except OSError as error:
            if error.errno in NO_DIRECT:
                self._past_cache = False  # closed with the file: another thread may be writing by it
                return False
            raise
        return True

    @staticmethod
    def _write(descriptor: int, view: memoryview, at: int, piece: int) -> None:
        while view:
            count = os.pwrite(descriptor, view[:piece], at)
            if not count:
                raise OSError(errno.EIO, "nothing was written")
            view, at = view[count:], at + count

    def read_into(self, view: memoryview, at: int) -> int:
        """Bytes from `at` on, as many as there are; OSError when the disk cannot."""
        got = 0
        past = self._past_cache and not at % ALIGN_BYTES
        descriptor = self._direct if past and self._direct is not None else self._fd
        while got < len(view):
            count = os.preadv(descriptor, [view[got:]], at + got)
            if not count:
                break
            got += count
            if count % ALIGN_BYTES:
                break
        return got

    def data_map(self) -> list[tuple[int, int]]:
        """Where bytes were ever written, [begin, end) each: holes and untouched preallocation are not."""
        found, at = [], 0
        with contextlib.suppress(OSError):  # ENXIO: nothing behind
            while at < self._size:
                begin = os.lseek(self._fd, at, os.SEEK_DATA)
                at = os.lseek(self._fd, begin, os.SEEK_HOLE)
                found.append((begin, at))
        return found

    def sync(self) -> None:
        """What was written is durable."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise failed(self._name, error) from error

    def begin_writeback(self) -> None:
        """Tell the kernel to write what it holds now, without waiting: a later `finish` then waits little."""
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def finish(self, target: Path) -> None:
        """Its exact size, durable, under its final name."""
        try:
            os.ftruncate(self._fd, self._size)
            os.fsync(self._fd)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)
        except OSError as error:
            raise failed(self._name, error) from error
        self.close()

    def close(self) -> None:
        """Let go; what is written stays."""
        for descriptor in (self._direct, self._fd):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._direct, self._fd, self._past_cache = None, -1, False
