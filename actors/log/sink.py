"""A file of lines that rotates by size and age, compresses what it rotates and never raises.

One write for each line: the standard rotating handler seeks, asks for the size and flushes for each. A full disk drops
lines, counts them and says so once on standard error.
"""

import gzip
import os
import shutil
import sys
import threading
import time
from pathlib import Path

MODE = 0o640
"""Readable by the operators' group, never by everybody."""


class RotatingSink:
    """Appends lines to `path`; `path.1.gz` is the youngest rotated file, `path.N.gz` the oldest."""

    def __init__(self, path: Path, *, max_bytes: int, max_age_s: float, kept: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._kept = kept
        self._lock = threading.Lock()
        self._descriptor = -1
        self._size = 0
        self._born = 0.0
        self._complained = False
        self.dropped = 0
        """Lines that could not be written since the start."""

    def write(self, line: bytes) -> None:
        """Append one line; the newline is added here. Safe from any thread."""
        with self._lock:
            try:
                self._ensure_open()
                if self._due(len(line) + 1):
                    self._rotate()
                self._size += os.write(self._descriptor, line + b"\n")
            except OSError as error:
                self._drop(error)

    def reopen(self) -> None:
        """Close and open anew: after another program moved the file."""
        with self._lock:
            self._close()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        self.reopen()

    def _ensure_open(self) -> None:
        if self._descriptor >= 0:
            return
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, MODE)
        status = os.fstat(self._descriptor)
        self._size = status.st_size
        self._born = time.time()

    def _due(self, coming: int) -> bool:
        if self._size == 0:
            return False
        return self._size + coming > self._max_bytes or time.time() - self._born > self._max_age_s

    def _rotate(self) -> None:
        self._close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number)
            if number == self._kept:
                older.unlink(missing_ok=True)
            elif older.exists():
                older.rename(self._numbered(number + 1))
        plain = self._path.with_name(self._path.name + ".rotating")
        self._path.rename(plain)
        with plain.open("rb") as source, gzip.open(self._numbered(1), "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        self._numbered(1).chmod(MODE)
        plain.unlink()
        self._ensure_open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}.gz")

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _drop(self, error: OSError) -> None:
        self.dropped += 1
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"log: cannot write {self._path}: {error.strerror}; lines are dropped and counted\n")
