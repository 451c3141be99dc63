"""One worker: a thread that asks for a block, reads it into memory, writes it, and gives it to the hasher."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from actors.downloads.errors import DownloadError, TransferError

from .answers import Meaning, Verdict, judge
from .asking import Asker
from .buffers import ALIGN_BYTES
from .crew import Crew
from .http1 import BrokenError
from .items import Item, Write
from .job import Job
from .mirrors import refused, wrong
from .writer import MUCH_BYTES, put_down

SLICE_S, FLUSH_S = 0.012, 0.006
"""A connection reads what comes in about so long, and writes what it has when the last time was so long ago: what a
kill loses is what came since. Of a fast one a block is whole before."""
RENEWALS_MAX = 3
ODD_MAX = 2
"""After so many ranges that were not asked for, a server is taken for one that gives none."""


class Worker:
    """See the module. `rate`, `beat`, `since` and `item` are read by the watching thread."""

    def __init__(self, number: int, crew: Crew, asker: Asker, hash_ready: Callable[[Job], None]) -> None:
        self.number, self._crew, self._asker, self._hash = number, crew, asker, hash_ready
        self.item: Item | None = None
        self.rate = 0.0
        """Bytes a second of the latest slices."""
        self.got = self._came = 0
        """Bytes of the running block: an answer may bring a whole file, and become slow at its end; of the item."""
        self.since = self.beat = time.monotonic()
        """When the running block began; when its latest bytes came."""
        self.rest_until = 0.0
        """A connection that was taken for slow leaves its block to others for a while."""
        self._forgiven = False
        self._piece = 0
        """Bytes that take about SLICE_S to come."""

    def run(self) -> None:
        """Until nothing is left to do."""
        try:
            while (item := self._crew.take(self)) is not None:
                self._came, self._forgiven = 0, False
                self._begin_block()
                self.item, self.beat = item, self.since
                try:
                    self._stream(item) if item.stream else self._block(item)
                finally:
                    self.item = None
                    self._crew.idle()
        except DownloadError as error:
            self._crew.fail(error)
        except Exception as error:  # a fault of ours must end the transfer loudly, not leave it waiting
            self._crew.crash(error)
            raise
        finally:
            self._asker.close()

    def _begin_block(self) -> None:
        self.got, self.since = 0, time.monotonic()

    @contextmanager
    def _excused(self) -> Iterator[None]:
        """Meanwhile nothing is read by our own will: for memory, the hash or the cap no connection is to blame."""
        item, self.item, began = self.item, None, time.monotonic()
        try:
            yield
        finally:
            self.since += time.monotonic() - began
            self.item = item

    def kill(self, *, rest_s: float = 0.0, blame: bool = False) -> None:
        """From the watching thread: the running request ends; its bytes so far are kept."""
        self._forgiven = not blame
        self.rest_until = time.monotonic() + rest_s
        self._asker.kill()

    # -- one block -------------------------------------------------------------------------------------------

    def _block(self, item: Item) -> None:
        """And those behind it that come by the same answer."""
        job, blocks, end = item.job, item.job.blocks, item.index + 1 + item.behind
        begin = item.index * blocks.block_bytes
        stop = min(blocks.size_bytes, end * blocks.block_bytes)
        at, one = self._from_disk(item), item
        try:
            answer = self._ask(item, begin + at, stop, ranged=at > 0 or stop - begin < blocks.size_bytes)
            if answer is None:
                self._crew.gave_back(item, at)
                return
            promised, end = end, -(-answer.end // blocks.block_bytes)
            self._crew.release(job, end, promised, item.index)
            while self._one(one, at, answer.end, last=one.index + 1 == end):
                following = self._following(one, item.index)
                if following is None:
                    break
                self.item = one = following
                at = 0
        finally:
            # Nothing when all came: by now it may have been hashed, found wrong, and be promised to another.
            self._crew.release(job, one.index + 1, end, item.index)

    def _one(self, item: Item, at: int, stop: int, *, last: bool) -> bool:
        """One block of an answer that ends before byte `stop` of the file; whether another one follows."""
        blocks, length = item.job.blocks, item.job.blocks.length(item.index)
        try:
            at = self._receive(item, at, min(length, stop - item.index * blocks.block_bytes))
            if last:
                self._asker.leave()
        except OSError as error:
            at = self._flushed
            self._failed(item, str(error) or type(error).__name__)
        except BaseException:
            self._asker.leave(broken=True)
            self._crew.gave_back(item, 0)
            raise
        if at < length:
            self._crew.gave_back(item, at)
            return False
        self._hash_here(item.job)
        return not last

    def _hash_here(self, job: Job) -> None:
        """If it is this one's turn."""
        if self._crew.hashes(job):
            with self._excused():
                self._hash(job)

    def _following(self, item: Item, first: int) -> Item | None:
        """The next block of the answer from `first` on; None when somebody else has it, or all is over."""
        index = item.index + 1
        with self._excused():
            view = self._crew.memory(item.job.blocks, index)
        if view is not None:
            if self._crew.claim(item.job, index, first):
                self._begin_block()
                return Item(item.job, item.mirror, index, view, 0, tag=item.tag)
            self._crew.give(view)
        self._asker.leave(broken=True)
        return None

    _flushed = 0

    def _from_disk(self, item: Item) -> int:
        """What an earlier try wrote of the block; 0 when it cannot be read."""
        if not item.filled:
            return 0
        assert item.job.partial is not None
        have = item.filled & -ALIGN_BYTES
        begin = item.index * item.job.blocks.block_bytes
        try:
            got = item.job.partial.read_into(item.view[:have], begin)
        except OSError:
            got = 0
        kept = have if got == have else 0
        self._crew.lost(item.filled - kept)
        return kept

    def _receive(self, item: Item, at: int, stop: int) -> int:
        """Read up to `stop` (of the block), writing as it comes; the bytes of the block that are kept."""
        view, connection, job = item.view, self._asker.current, item.job
        assert connection is not None
        self._flushed = at
        whole = job.blocks.length(item.index)
        try:
            flushed_at = time.monotonic()
            while at < stop:
                goal = min(stop, (at & -ALIGN_BYTES) + self._slice(job.slice_bytes))
                began = time.monotonic()
                count = connection.read_into(view[at:goal])
                if not count:
                    raise BrokenError("the body is short")
                at += count
                self._beat(count)
                self._pace(count, began)
                if at < whole and self.beat - flushed_at > FLUSH_S:
                    self._flush(item, at & -ALIGN_BYTES)
                    flushed_at = self.beat
        finally:
            if at == whole:
                self._hand_over(item)
            else:
                self._flush(item, at & -ALIGN_BYTES)
        return self._flushed

    def _flush(self, item: Item, end: int) -> None:
        if end > self._flushed:
            put_down(self._crew, item, self._flushed, end)
            self._flushed = end

    def _hand_over(self, item: Item) -> None:
        """A block that is whole: to the hash, and to the disk; that of a small file is not worth another thread."""
        self._crew.arrived(item)
        begin, self._flushed = self._flushed, item.job.blocks.length(item.index)
        if item.job.small:
            put_down(self._crew, item, begin, self._flushed)
            self._crew.wrote(item)
        else:
            self._crew.writes.put(Write(item, begin))

    def _slice(self, least: int) -> int:
        return self._crew.throttle.piece(max(least, self._piece & -ALIGN_BYTES))

    def _beat(self, count: int) -> None:
        self.beat = time.monotonic()
        self.got += count
        self._came += count

    def _pace(self, count: int, began: float) -> None:
        taken = max(self.beat - began, 1e-6)
        self.rate = count / taken if not self.rate else 0.5 * self.rate + 0.5 * count / taken
        # Twice as much at most: what lay in the socket already came at the speed of memory.
        self._piece = min(int(count * SLICE_S / taken), 2 * count)
        wait_s = self._crew.throttle.pay(count, self.beat)
        if wait_s:
            with self._excused():
                self._crew.wait_for(wait_s)

    # -- one answer ------------------------------------------------------------------------------------------

    def _ask(self, item: Item, begin: int, end: int, *, ranged: bool) -> Verdict | None:
        """The answer whose body begins at `begin`; None when there is none, and the mirror bears the blame."""
        mirror, size = item.mirror, item.job.file.size_bytes
        address, started = mirror.address, time.monotonic()
        try:
            answer, final = self._asker.get(address, begin, end - 1 if ranged else None)
            verdict = judge(answer, begin, end, size, time.time())
        except OSError as error:
            self._failed(item, str(error) or type(error).__name__, started)
            return None
        except DownloadError as error:
            self._asker.leave(broken=True)
            self._blame(item, error, started)
            return None
        if verdict.meaning in {Meaning.BYTES, Meaning.WHOLE}:
            with self._crew.lock:
                mirror.ranges &= verdict.meaning is Meaning.BYTES or item.stream
                item.job.answered = True
                self._crew.lock.notify_all()
                if final != mirror.base and mirror.address == address:
                    mirror.resolved = final
                verdict = self._same_version(item, verdict)
                item.tag = mirror.tag
        if verdict.meaning is Meaning.BYTES:
            return verdict
        return self._no_bytes(item, verdict, started, address, final)

    @staticmethod
    def _same_version(item: Item, verdict: Verdict) -> Verdict:
        """Bytes of another version than those before are from another origin: they carry another tag."""
        mirror, digest = item.mirror, item.job.file.digest
        if mirror.etag and verdict.etag != mirror.etag and digest in mirror.etag:
            return Verdict(Meaning.WRONG, "the file changed at its source while it was brought")
        mirror.etag = verdict.etag
        return verdict

    def _no_bytes(self, item: Item, verdict: Verdict, started: float, address: str, final: str) -> Verdict | None:
        mirror, name, why = item.mirror, item.job.file.name, verdict.why
        self._asker.leave(broken=verdict.meaning is Meaning.WHOLE)
        if verdict.meaning is Meaning.WHOLE:
            return verdict if item.stream else None
        if verdict.meaning is Meaning.REFUSED:
            self._refused(item, why, address, final)
        elif verdict.meaning is Meaning.WRONG:
            self._blame(item, wrong(name, f"{urlsplit(address).hostname}: {why}"), started)
        else:
            self._crew.refused |= verdict.meaning is Meaning.BUSY
            self._failed(item, why, started, verdict.wait_s)
            if verdict.meaning is Meaning.ODD and mirror.failures >= ODD_MAX:
                mirror.ranges = False
        return None

    def _refused(self, item: Item, why: str, address: str, final: str) -> None:
        """An address that expired is resolved again; one that never was good is given up."""
        mirror, job = item.mirror, item.job
        with self._crew.lock:
            if mirror.resolve_again(address):
                return
            renew = self._crew.manifest.renew if job.renewals < RENEWALS_MAX else None
            if final == mirror.base:
                job.renewals += 1
        if final != mirror.base:  # it expired between the redirect and the request, or its signer has no right to it
            mirror.resolved = ""
            self._failed(item, why, self.since)
            return
        urls = renew(job.file.name) if renew is not None else ()
        with self._crew.lock:
            mirror.given_up = refused(job.file.name, why)
            job.mirrors.add(urls)

    def _failed(self, item: Item, why: str, started: float | None = None, wait_s: float = 0.0) -> None:
        self._asker.leave(broken=True)
        with self._crew.lock:
            if not self._crew.over and not self._forgiven and self._came < MUCH_BYTES:
                began = self.since if started is None else started
                item.job.mirrors.fail(item.mirror, why, began, time.monotonic(), wait_s)

    def _blame(self, item: Item, error: DownloadError, started: float) -> None:
        with self._crew.lock:
            if not (error.retry and isinstance(error, TransferError)):
                item.mirror.given_up = error
            elif not self._crew.over and not self._forgiven:
                item.job.mirrors.fail(item.mirror, str(error), started, time.monotonic())

    # -- a whole file ----------------------------------------------------------------------------------------

    def _stream(self, item: Item) -> None:
        """In one answer, from its first byte: for a server without ranges. Blocks that are here are read over."""
        job, crew = item.job, self._crew
        crew.give(item.view)
        try:
            verdict = self._ask(item, 0, job.file.size_bytes, ranged=False)
            if verdict is not None:
                self._blocks_of(item)
                self._asker.leave()
        except OSError as error:
            self._failed(item, str(error) or type(error).__name__)
        finally:
            self._asker.leave(broken=True)
            crew.end_stream(job)

    def _blocks_of(self, whole: Item) -> None:
        for index in range(whole.job.blocks.count):
            with self._excused():
                view = self._crew.memory(whole.job.blocks, index)
            if view is None:
                return
            self._begin_block()
            item = Item(whole.job, whole.mirror, index, view, 0, tag=whole.tag)
            length = whole.job.blocks.length(index)
            if not self._crew.claim(whole.job, index, 0):
                self._read_over(view[:length])
                self._crew.give(view)
                continue
            at = 0
            try:
                at = self._receive_part(item, length)
            finally:
                if at < length:
                    self._crew.gave_back(item, 0)
                else:
                    self._hash_here(item.job)

    def _receive_part(self, item: Item, length: int) -> int:
        view, connection, at = item.view, self._asker.current, 0
        assert connection is not None
        while at < length and (count := connection.read_into(view[at:length])):
            at += count
            self._beat(count)
        if at < length:
            raise BrokenError("the body is short")
        self._flushed = 0
        self._hand_over(item)
        return length

    def _read_over(self, view: memoryview) -> None:
        connection = self._asker.current
        assert connection is not None
        at = 0
        while at < len(view) and (count := connection.read_into(view[at:])):
            at += count
            self._beat(count)
