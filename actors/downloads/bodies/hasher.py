"""Hashes blocks in the order of the file, from memory where they still are there, else from the disk."""

import mmap
import time

from actors.downloads.errors import DownloadError, WrongBytesError
from actors.downloads.hashing import check

from .crew import Crew
from .job import Job


class Hasher:
    """A thread; one file at a time has it."""

    def __init__(self, crew: Crew, block_bytes: int) -> None:
        self._crew, self._block_bytes = crew, block_bytes
        self._scratch: mmap.mmap | None = None

    def run(self) -> None:
        """Until nothing is left to do."""
        try:
            while (job := self._crew.take_hash()) is not None:
                self.hash_ready(job)
        except DownloadError as error:
            self._crew.fail(error)
        except Exception as error:  # a fault of ours must end the transfer loudly, not leave it waiting
            self._crew.crash(error)
            raise

    def hash_ready(self, job: Job) -> None:
        """All of it that is here, in order; the caller has the file for itself. DownloadError."""
        blocks, lock = job.blocks, self._crew.lock
        while True:
            with lock:
                if blocks.complete or not blocks.ready or self._crew.over:
                    break
                index = blocks.frontier
                view = blocks.held.get(index)
            if view is not None:
                self._from_memory(job, index, view)
            else:
                self._from_disk(job, index)
        if blocks.complete:
            self._prove(job)
        else:
            self._crew.rest_hash(job)

    def _from_memory(self, job: Job, index: int, view: memoryview) -> None:
        blocks = job.blocks
        began = time.monotonic()
        job.hash.update(view[: blocks.length(index)])
        job.hashed(began, time.monotonic())
        if not job.small:
            digest = job.hash.copy().hexdigest()
            job.judge(index, digest, fresh=True)
        with self._crew.lock:
            self._crew.settled(job, blocks.advance())

    def _from_disk(self, job: Job, index: int) -> None:
        blocks, length = job.blocks, job.blocks.length(index)
        assert job.partial is not None
        if self._scratch is None:
            self._scratch = mmap.mmap(-1, self._block_bytes)
        before = job.hash.copy()
        with memoryview(self._scratch) as scratch, scratch[: -(-length // 4_096) * 4_096] as view:
            try:
                got = job.partial.read_into(view, index * self._block_bytes)
            except OSError:
                got = 0  # a sector that cannot be read: it is written anew
            job.hash.update(view[:length])
        digest = job.hash.copy().hexdigest()
        right = got >= length and job.judge(index, digest, fresh=False)
        with self._crew.lock:
            if right:
                self._crew.settled(job, blocks.advance())
            else:
                job.hash = before
                blocks.lose(index)
                self._crew.done_bytes -= length
            self._crew.lock.notify_all()

    def _prove(self, job: Job) -> None:
        """The whole is what was promised, or what is wrong with it is fetched again."""
        try:
            check(job.file, job.hash)
        except WrongBytesError:
            with self._crew.lock:
                self._crew.done_bytes -= job.again()
            self._crew.rest_hash(job)
        else:
            self._crew.proven(job)
