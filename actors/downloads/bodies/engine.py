"""The transfer engine: several files at once, ranged, resumed, hashed from memory while they are written.

The caller's thread watches; bytes come by plain threads that live as long as the transfer. Memory is bounded over all
transfers together.
"""

import os
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.downloads import hashing
from actors.downloads.address import checked
from actors.downloads.dialling import patient
from actors.downloads.errors import DownloadError
from actors.downloads.manifest import RemoteFile, Staging, UnsizedFile
from config.downloads import DownloadsSettings

from .adapt import FIRST
from .api import Brought, Cancelled, Control, Grow, Progress
from .asking import Asker
from .buffers import Buffers
from .crew import EACH_BLOCKS, SPARE_BLOCKS, Crew, hashers_wanted
from .hasher import Hasher
from .job import Job
from .partial import failed
from .threads import started
from .throttle import Hours, Throttle
from .unsized import Stream
from .watch import LOOK_S, Watch
from .worker import Worker
from .writer import WRITERS, Writer

BLOCK_BYTES = 4 << 20
"""Two huge pages. Each block costs a dozen switches between threads; of larger ones the hash waits longer for the first
and for the last."""
BLOCKS_MAX = 24
"""Of all transfers together: 96 MiB."""
BLOCKS_LEAST = 8
READ_BYTES = 1 << 20
BARRIER_S = 5.0
"""What came is made to outlive a loss of power so often."""
Local = Callable[[], int]
"""The minute of the local day."""


def local_minute() -> int:
    """By the machine's clock and time zone."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class TransferEngine:
    """One for the machine; a call brings files. See api.Bring."""

    def __init__(
        self,
        settings: DownloadsSettings,
        minute: Local = local_minute,
        block_bytes: int = BLOCK_BYTES,
        barrier_s: float = BARRIER_S,
    ) -> None:
        self._barrier_s = barrier_s
        self._settings, self._minute, self._block_bytes = settings, minute, block_bytes
        self._throttle = Throttle(settings.rate_max_bytes_s)
        self._hours = Hours.parse(settings.hours) if settings.hours else None
        self._lock = threading.Lock()
        self._blocks_left = BLOCKS_MAX
        self._tls: ssl.SSLContext | None = None

    def __call__(
        self, staging: Staging, files: Sequence[RemoteFile], control: Control, progress: Callable[[Progress], None]
    ) -> Brought:
        """See api.Bring."""
        begun = time.monotonic()
        first, twins = _without_twins([file for file in files if not _is_there(staging, file, control)])
        count = self._borrow()
        try:
            received = self._bring(staging, first, control, progress, count) if first else 0
        finally:
            with self._lock:
                self._blocks_left += count
        for twin, file in twins:
            _copy(staging.files / file.name, staging.files / twin.name)
        return Brought(len(files), sum(file.size_bytes for file in files), received, time.monotonic() - begun)

    def unsized(
        self,
        staging: Staging,
        file: UnsizedFile,
        control: Control,
        progress: Callable[[Progress], None],
        grow: Grow,
    ) -> RemoteFile:
        """See api.Bring."""
        settings, asker = self._settings, self._asker(staging)
        stream = Stream(file, staging, asker, self._throttle, control, grow, settings.tries, settings.read_timeout_s)
        return stream.bring(progress, self._held)

    def _borrow(self) -> int:
        with self._lock:
            count = max(BLOCKS_LEAST, min(EACH_BLOCKS * self._settings.connections + SPARE_BLOCKS, self._blocks_left))
            self._blocks_left -= count
            return count

    def _bring(
        self,
        staging: Staging,
        files: Sequence[RemoteFile],
        control: Control,
        progress: Callable[[Progress], None],
        count: int,
    ) -> int:
        settings = self._settings
        buffers = Buffers(count, self._block_bytes)
        jobs = [Job(file, staging, self._block_bytes, settings.tries) for file in files]
        most = min(settings.connections, count - 2)
        crew = Crew(
            manifest=staging.manifest,
            control=control,
            jobs=jobs,
            buffers=buffers,
            allowed=min(FIRST, most),
            throttle=self._throttle,
            cores=len(os.sched_getaffinity(0)),
        )
        total = sum(file.size_bytes for file in files)
        watch = Watch(crew, total, settings.read_timeout_s, most, self._barrier_s)
        hashers = [Hasher(crew, self._block_bytes) for _ in range(hashers_wanted(len(files), crew.cores))]
        threads: list[threading.Thread] = []
        writers: list[threading.Thread] = []
        workers: list[Worker] = []
        try:
            threads.extend(started(hasher.run, f"hash-{at}") for at, hasher in enumerate(hashers))
            writers.extend(started(Writer(crew).run, f"disk-{at}") for at in range(WRITERS))
            while not crew.over:
                crew.held = self._held()
                while len(workers) < crew.allowed:
                    workers.append(self._worker(len(workers), crew, staging))
                    threads.append(started(workers[-1].run, f"bytes-{len(workers) - 1}"))
                crew.await_end(LOOK_S)
                watch.look(workers, progress)
        except DownloadError as error:
            crew.fail(error)
        finally:
            crew.stop()
            for thread in threads:
                while thread.is_alive():
                    for worker in workers:  # again and again: one may have been between two waits
                        worker.kill()
                    thread.join(LOOK_S)
            for _ in writers:
                crew.writes.put(None)
            for thread in writers:
                thread.join()
            for job in jobs:
                job.close()
            buffers.close()
        if crew.crashed is not None:
            raise crew.crashed
        if crew.error is not None:
            raise crew.error
        if crew.unfinished:
            raise Cancelled
        return crew.received_bytes

    def _worker(self, number: int, crew: Crew, staging: Staging) -> Worker:
        return Worker(number, crew, self._asker(staging), Hasher(crew, self._block_bytes).hash_ready)

    def _held(self) -> str:
        """Why nothing is asked for now."""
        outside = self._hours is not None and not self._hours.open_at(self._minute())
        return f"transfers run in the hours {self._settings.hours}" if outside else ""

    def _asker(self, staging: Staging) -> Asker:
        settings, manifest = self._settings, staging.manifest
        return Asker(
            checked=lambda url, unwanted: checked(url, settings.allow_private_hosts, patient(unwanted)),
            tls=self._context,
            origin=manifest.origin,
            credentials=manifest.headers,
            silence_s=settings.read_timeout_s,
        )

    def _context(self) -> ssl.SSLContext:
        """One for all: the authorities of the machine are read once."""
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            return self._tls


def _is_there(staging: Staging, file: RemoteFile, control: Control) -> bool:
    """Whether a file stands proven under its final name; one that is damaged goes, and is never written into."""
    target = staging.files / file.name
    try:
        with target.open("rb", buffering=0) as there:
            state, buffer, size = hashing.begin(file), memoryview(bytearray(READ_BYTES)), 0
            while count := there.readinto(buffer):
                state.update(buffer[:count])
                size += count
                if control.cancelled:
                    raise Cancelled
            if size == file.size_bytes and state.hexdigest() == file.digest:
                return True
    except FileNotFoundError:
        return False
    except OSError:
        pass  # it cannot be read: it is brought anew
    target.unlink(missing_ok=True)
    return False


def _without_twins(files: Sequence[RemoteFile]) -> tuple[list[RemoteFile], list[tuple[RemoteFile, RemoteFile]]]:
    """Files with the same bytes come once: (those that come, (a twin, the one that comes))."""
    first: dict[tuple[str, str], RemoteFile] = {}
    twins = []
    for file in files:
        other = first.setdefault((file.proof, file.digest), file)
        if other is not file:
            twins.append((file, other))
    return list(first.values()), twins


def _copy(source: Path, target: Path) -> None:
    """The same bytes under another name: a hard link where there are any, else a durable copy."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            temporary = target.with_name(f".{target.name}.copy")
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as copied:
                os.fsync(copied.fileno())
            temporary.replace(target)
    except OSError as error:
        raise failed(target.name, error) from error
