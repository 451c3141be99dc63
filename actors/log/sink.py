"""A file of lines that rotates by size and age, compresses what it rotates and never raises.

One write for each line: the standard rotating handler seeks, asks for the size and flushes for each. What is rotated
is compressed in a thread of its own, so that nobody waits for it. A full disk drops lines, counts them and says so
once on standard error.
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
NEVER = float("inf")


class RotatingSink:
    """Appends lines to `path`; `path.1.gz` is the youngest rotated file, `path.N.gz` the oldest."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        kept: int,
        total_max_bytes: float = NEVER,
        kept_max_age_s: float = NEVER,
    ) -> None:
        self._path = path
        self._max_bytes, self._max_age_s, self._kept = max_bytes, max_age_s, kept
        self._total_max_bytes, self._kept_max_age_s = total_max_bytes, kept_max_age_s
        self._lock = threading.Lock()
        self._packer: threading.Thread | None = None
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
                if self._descriptor < 0:
                    self._open()
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
        """Close the file, and wait until what was rotated is packed; a later write opens it again."""
        self.reopen()
        packer = self._packer
        if packer is not None:
            packer.join()

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, MODE)
        self._size = os.fstat(self._descriptor).st_size
        self._born = time.time()

    def _due(self, coming: int) -> bool:
        if self._size == 0:
            return False
        return self._size + coming > self._max_bytes or time.time() - self._born > self._max_age_s

    def _rotate(self) -> None:
        """Put the full file aside; while the one before is still being packed, it grows on."""
        if self._packer is not None and self._packer.is_alive():
            return
        self._close()
        aside = self._path.with_name(self._path.name + ".rotating")
        self._path.rename(aside)
        self._open()
        self._packer = threading.Thread(target=self._pack, args=(aside,), name="log packer", daemon=True)
        self._packer.start()

    def _pack(self, aside: Path) -> None:
        try:
            for number in range(self._kept, 0, -1):
                older = self._numbered(number)
                if number == self._kept:
                    older.unlink(missing_ok=True)
                elif older.exists():
                    older.rename(self._numbered(number + 1))
            with aside.open("rb") as source, gzip.open(self._numbered(1), "wb", compresslevel=1) as target:
                shutil.copyfileobj(source, target)
            self._numbered(1).chmod(MODE)
            aside.unlink()
            self._trim()
        except OSError as error:
            self._complain(error)

    def _trim(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        total, oldest_s = 0, time.time() - self._kept_max_age_s
        for number in range(1, self._kept + 1):
            file = self._numbered(number)
            if not file.exists():
                continue
            status = file.stat()
            total += status.st_size
            if total > self._total_max_bytes or status.st_mtime < oldest_s:
                file.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}.gz")

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _drop(self, error: OSError) -> None:
        self.dropped += 1
        self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            sys.stderr.write(f"log: cannot write {self._path}: {error.strerror}; lines are dropped and counted\n")
