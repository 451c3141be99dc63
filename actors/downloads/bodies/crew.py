"""What the threads of one transfer share: the queue of blocks, the memory, the state of every file. One lock.

Workers bring blocks, writers write them, hashers hash them in order, the caller's thread watches. Few operations for
each block, none for each byte, so that the lock and the GIL are free nearly always.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from actors.downloads.errors import DownloadError
from actors.downloads.manifest import Manifest

from .api import Control
from .blocks import Blocks
from .buffers import Buffers
from .items import Item, Taker, Write
from .job import PATIENCE_S, Job
from .mirrors import Mirror
from .throttle import Throttle

OPEN_FILES = 4
"""Large files on their way at once: each has its own SHA-256, which one thread computes."""
FINISH_TOGETHER = 64
"""Small files that are made durable together: one commit of the file system's journal serves them all."""
SMALL_RANK = 2
"""A large file that keeps less memory than so many blocks goes before the small files."""
EACH_BLOCKS, SPARE_BLOCKS = 1, 8
"""For each connection one that comes; and those that are written or wait for the hash. No more, since memory costs the
most when it is used for the first time."""
NAP_S = 0.5
SPILL_AFTER_S = 0.1
"""Memory waits so long for the block that must be hashed before it; a slow connection may be bringing that."""


@dataclass(slots=True)
class Crew:
    """See the module."""

    manifest: Manifest
    control: Control
    jobs: Sequence[Job]
    buffers: Buffers
    allowed: int
    """Workers that may be at work now."""
    throttle: Throttle
    cores: int = 1
    """What this process may use of the machine."""
    clock: Callable[[], float] = time.monotonic
    lock: threading.Condition = field(init=False)
    """Workers wait here. Those below are the same lock: who waits for one thing is not woken for another."""
    error: DownloadError | None = None
    crashed: Exception | None = None
    stopping: bool = False
    held: str = ""
    """Why nothing is asked for now; empty when all is well."""
    done_bytes: int = 0
    received_bytes: int = 0
    busy: int = 0
    refused: bool = False
    """Whether a server asked to be left alone."""
    unfinished: int = 0
    writes: SimpleQueue[Write | None] = field(default_factory=SimpleQueue)
    """Blocks that are whole, for the writers."""
    _waiting: list[Job] = field(default_factory=list)
    _open: list[Job] = field(default_factory=list)
    _small: list[Job] = field(default_factory=list)
    _dry_at: float | None = None
    """Since when no memory is free."""
    _hashable: threading.Condition = field(init=False)
    _ended: threading.Condition = field(init=False)
    _freed: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        guard = threading.RLock()
        self.lock, self._hashable, self._ended, self._freed = (threading.Condition(guard) for _ in range(4))
        self._waiting = sorted(self.jobs, key=lambda job: job.file.size_bytes)
        self.unfinished = len(self.jobs)

    # -- the end ---------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Nothing is left to do, or nothing more shall be done."""
        return self.stopping or self.error is not None or self.control.cancelled or not self.unfinished

    def fail(self, error: DownloadError) -> None:
        """The transfer cannot end well."""
        with self.lock:
            self.error = self.error or error
            self._wake_all()

    def crash(self, error: Exception) -> None:
        """A fault of ours."""
        with self.lock:
            self.crashed = self.crashed or error
            self.stopping = True
            self._wake_all()

    def stop(self) -> None:
        """Every thread shall return."""
        with self.lock:
            self.stopping = True
            self._wake_all()

    def _wake_all(self) -> None:
        for waiting in (self.lock, self._freed, self._hashable, self._ended):
            waiting.notify_all()

    def await_end(self, timeout_s: float) -> None:
        """For the watching thread: until all is over, or it is time to look."""
        until = self.clock() + timeout_s
        with self.lock:
            while not self.over and (left := until - self.clock()) > 0:
                self._ended.wait(left)

    @property
    def hungry(self) -> bool:
        """Whether workers have nothing to ask for while others are at work, and a hash waits for what those bring."""
        if self._waiting or self.busy >= self.allowed:
            return False
        return not any(job.blocks.missing or job.plenty(self.clock()) for job in self._open)

    def open_jobs(self) -> list[Job]:
        """Files that are on their way."""
        with self.lock:
            return list(self._open)

    # -- workers ---------------------------------------------------------------------------------------------

    def take(self, worker: Taker) -> Item | None:
        """The next block for a worker; None at the end. It looks up twice a second."""
        with self.lock:
            while not self.over:
                rests = worker.number >= self.allowed or worker.rest_until > self.clock()
                if not rests and not self.held and not self.control.paused:
                    item, waiting, wait_s = self._next()
                    if item is not None:
                        self.busy += 1
                        return item
                    waiting.wait(wait_s)
                else:
                    self.lock.wait(NAP_S)
        return None

    def _next(self) -> tuple[Item | None, threading.Condition, float]:
        """What to do; else what to wait for, and how long."""
        now, wait_s = self.clock(), NAP_S
        for job in self._candidates():
            mirror = job.mirrors.choose(now)
            if mirror is None:
                gone = job.mirrors.exhausted
                if gone is not None:
                    self.error = self.error or gone
                    self._wake_all()
                    return None, self.lock, 0.0
                wait_s = min(wait_s, max(0.01, job.mirrors.wake_at() - now))
                continue
            view = self._memory(job.blocks, job.blocks.missing[0])
            if view is None:
                return None, self._freed, SPILL_AFTER_S
            if not job.small and not job.mirrors.ranges:
                job.streaming = True
                return Item(job, mirror, 0, view, 0, stream=True), self.lock, 0.0
            # One that needs no second connection comes by one answer: each request costs both sides a pause.
            alone = self.allowed <= self._large or job.plenty(now)
            most, index = None if alone else self._behind(job), job.blocks.take()
            filled, behind = job.blocks.filled.get(index, 0), job.blocks.promise(index, most)
            return Item(job, mirror, index, view, filled, behind), self.lock, 0.0
        # Only what goes beyond an ordinary answer: cutting those at a file's end would waste what lies in sockets.
        if any(job.withdraw(now, self._room // self.allowed) for job in self._open):
            return self._next()
        promised = any(job.blocks.promised for job in self._open)
        return None, self.lock, min(wait_s, PATIENCE_S) if promised else wait_s

    @property
    def _room(self) -> int:
        """Blocks that may be in use."""
        return EACH_BLOCKS * self.allowed + SPARE_BLOCKS

    def _behind(self, job: Job) -> int:
        """Blocks beyond its first that an answer brings where a file has several connections.

        They share the memory; and what is missing, so that they end together.
        """
        return max(1, min(self._room // self.allowed, -(-len(job.blocks.missing) // self.allowed)) - 1)

    @property
    def _large(self) -> int:
        return sum(not job.small for job in self._open)

    def _candidates(self) -> list[Job]:
        """Files with a block to ask for; the one that keeps the least memory first, so that all hashers have work."""
        large = self._large
        wanting = [job for job in self._open if job.wants(self.clock())]
        while self._waiting and (large < OPEN_FILES or self._waiting[-1].small):
            if self._waiting[-1].small and any(job.small for job in wanting):
                break
            job = self._waiting.pop()
            self._open.append(job)
            large += not job.small
            self.done_bytes += job.open()
            job.opened_at = job.rested_at = self.clock()
            if job.blocks.missing:
                wanting.append(job)
            if job.blocks.ready or job.blocks.complete:
                self._hashable.notify()
        return sorted(wanting, key=lambda job: SMALL_RANK if job.small else job.blocks.outstanding)

    def _memory(self, blocks: Blocks, index: int) -> memoryview | None:
        """For that block: a free one; or one that cannot be hashed soon, and will be read again, when none was free.

        Some are left for the blocks that are hashed next: those behind them would wait for them in memory.
        """
        spare = 0 if index == blocks.frontier else self._large
        view, now = self.buffers.take(self._room, spare), self.clock()
        if view is not None:
            self._dry_at = None
            return view
        self._dry_at = now if self._dry_at is None else self._dry_at
        patient = now - self._dry_at < SPILL_AFTER_S
        found = (job.blocks.spill() for job in self._open if not (patient and job.blocks.awaited))
        return next((view for view in found if view is not None), None)

    def memory(self, blocks: Blocks, index: int) -> memoryview | None:
        """For one who goes on within an item; None at the end."""
        with self.lock:
            while not self.over:
                view = self._memory(blocks, index)
                if view is not None:
                    return view
                self._freed.wait(SPILL_AFTER_S)
        return None

    def give(self, view: memoryview) -> None:
        """Memory that is not needed."""
        with self.lock:
            self._free(view)

    def _free(self, view: memoryview) -> None:
        self.buffers.give(view)
        self._freed.notify_all()

    def release(self, job: Job, begin: int, end: int, first: int) -> None:
        """Blocks that were promised to an answer, and did not come: others may ask for them."""
        if begin < end:
            with self.lock:
                job.blocks.release(begin, end, first)
                self.lock.notify_all()

    def claim(self, job: Job, index: int, first: int) -> bool:
        """For an answer with several blocks: whether the one it has come to is needed; it is then its own."""
        with self.lock:
            found = job.blocks.claim(index, first)
            if found:
                self.done_bytes -= job.blocks.filled.pop(index, 0)
                if not job.blocks.promised:  # another one may ask for what follows
                    self.lock.notify()
            return found

    def end_stream(self, job: Job) -> None:
        """Others may ask for its blocks."""
        with self.lock:
            job.streaming = False
            self.lock.notify_all()

    def wait_for(self, seconds: float) -> None:
        """To keep the bandwidth cap; ends early when all ends, or rests: connections are closed then."""
        until = self.clock() + seconds
        with self.lock:
            while not (self.over or self.held or self.control.paused) and (left := until - self.clock()) > 0:
                self.lock.wait(min(left, NAP_S))

    def came(self, mirror: Mirror, count: int, *, much: bool) -> None:
        """Bytes came and are on disk; `much`: more than a server that gives nearly nothing gives."""
        with self.lock:
            if much:
                mirror.progressed()
            self.done_bytes += count
            self.received_bytes += count

    def arrived(self, item: Item) -> None:
        """A block is whole in memory, and may be hashed while it is written."""
        with self.lock:
            item.job.blocks.tags[item.index] = item.tag
            item.job.blocks.arrive(item.index, item.view)
            item.job.taken.pop(item.index, None)

    def wrote(self, item: Item) -> None:
        """It is on disk."""
        job = item.job
        with self.lock:
            self.settled(job, job.blocks.wrote(item.index))
            if not job.small and not job.hashing and job.blocks.complete:
                self._hashable.notify()

    def hashes(self, job: Job) -> bool:
        """Whether who brought a block hashes its file now.

        Where the files keep the cores at work that costs the least: the bytes are near. Else another core does it, and
        the connection goes on.
        """
        with self.lock:
            if job.hashing or not (job.blocks.ready or job.blocks.complete):
                return False
            if job.small or 2 * self._large > self.cores:
                job.hashing = True
                return True
            self._hashable.notify()
            return False

    def settled(self, job: Job, view: memoryview | None) -> None:
        """A block was written or hashed: note what is proven by now; memory that is free for others. Holds the lock."""
        job.settle()
        if view is not None:
            self._free(view)

    def gave_back(self, item: Item, filled: int) -> None:
        """A block is not whole. One that is, and could not be written, stays with the hash: all is over."""
        with self.lock:
            if item.index in item.job.blocks.unwritten:
                return
            item.job.blocks.give_back(item.index, filled)
            self._free(item.view)
            self.lock.notify_all()

    def lost(self, count: int) -> None:
        """Bytes that were counted are wrong, or cannot be read."""
        with self.lock:
            self.done_bytes -= count

    def idle(self) -> None:
        """A worker ended its item."""
        with self.lock:
            self.busy -= 1

    # -- hashers ---------------------------------------------------------------------------------------------

    def take_hash(self) -> Job | None:
        """A file with a block to hash, for this thread alone; None at the end."""
        with self.lock:
            while not self.over:
                for job in self._open:
                    if not job.hashing and (job.blocks.ready or job.blocks.complete):
                        job.hashing = True
                        return job
                self._hashable.wait(NAP_S)
        return None

    def rest_hash(self, job: Job) -> None:
        """The thread that had the file leaves it; one that is proven is never taken again."""
        with self.lock:
            job.hashing = False
            if job.blocks.ready or job.blocks.complete:
                self._hashable.notify()
            if job.blocks.missing:
                self.lock.notify_all()

    def proven(self, job: Job) -> None:
        """A file has the hash that was promised: it gets its final name, small ones in groups."""
        if job.small:
            with self.lock:
                self._small.append(job)
        else:
            self._finish([job])
        with self.lock:
            due = len(self._small) >= FINISH_TOGETHER or len(self._small) == self.unfinished
            group, self._small = (self._small, []) if due else ([], self._small)
        self._finish(group)

    def _finish(self, group: Sequence[Job]) -> None:
        """Make them durable: all are on their way to the disk before the first is waited for."""
        for job in group:
            job.begin_writeback()
        for job in group:
            job.finish()
        with self.lock:
            for job in group:
                self._open.remove(job)
            self.unfinished -= len(group)
            self.lock.notify_all()
            if not self.unfinished:
                self._wake_all()


def hashers_wanted(files: int, cores: int) -> int:
    """Threads that hash: one for each file that may be open, as far as there are cores."""
    return max(1, min(files, OPEN_FILES, cores))
