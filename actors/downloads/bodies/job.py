"""One file on its way: its blocks, its hash, its partial file and journal, its mirrors."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from actors.downloads import hashing
from actors.downloads.errors import DownloadError
from actors.downloads.manifest import RemoteFile, Staging

from .blocks import Blocks
from .journal import DIGEST_CHARS, Journal, boot_id
from .mirrors import Mirror, Mirrors, wrong
from .partial import PartialFile, failed

SLICE_BYTES = (32 << 10, 1 << 20)
"""Least that is written at a time: small enough that a kill costs little, large enough that the journal stays short."""
SLICES = 4_096
SMALL_BYTES = 2 << 20
"""A file up to that has no journal: it is brought anew when it was cut."""
PLENTY, SUPPLY_BLOCKS = 0.75, 8
"""One connection is enough for a file whose hash was at work for that share of the time of so many blocks."""
SCARCE, SCARCE_S = 0.25, 0.25
"""Below that share, or after so long a wait, others take what was promised to it."""
PATIENCE_S = 0.05
"""It is not when the hash waited for so long."""
ALONE_S = 0.1
"""So long a file has one connection, to see whether that is enough."""


class Job:
    """The crew's lock guards everything but the disk."""

    def __init__(self, file: RemoteFile, staging: Staging, block_bytes: int, tries: int) -> None:
        self.file, self._staging = file, staging
        self.small = file.size_bytes <= min(SMALL_BYTES, block_bytes)
        self.blocks = Blocks(file.size_bytes, block_bytes)
        self.mirrors = Mirrors(file, tries)
        self.hash = hashing.begin(file)
        self.hashing = self.streaming = self.answered = self.done = False
        self.proofs: dict[int, str] = {}
        self.taken = Counter[int]()
        """How often a block was taken from a connection that was slow: the next one has twice as long, since a server
        may be slow for everybody, or be so until its first byte."""
        self.rounds: list[Mirror] | None = None
        self.slice_bytes = max(SLICE_BYTES[0], min(SLICE_BYTES[1], file.size_bytes // SLICES & -4_096))
        self.partial: PartialFile | None = None
        self.journal: Journal | None = None
        self.renewals = 0
        self.opened_at = self.rested_at = 0.0
        self._hash_s, self._wait_s = 0.0, 0.01
        """Of the latest blocks, on average: how long one was hashed, and waited for."""
        self.unsynced_bytes = 0
        self._open = threading.Lock()
        """Held while the disk is asked to be durable: a file is not closed in the middle of it."""

    def wants(self, now: float) -> bool:
        """Whether a block of it may be asked for."""
        return bool(self.blocks.missing) and self._takes_more(now)

    def withdraw(self, now: float, keep: int) -> bool:
        """Whether a block of it may be asked for that was promised to one connection, when it brought enough."""
        blocks = self.blocks
        if self.supply >= SCARCE and now - self.rested_at < SCARCE_S:
            return False  # an answer that is cut was sent in vain as far as it lies in sockets
        return not blocks.missing and bool(blocks.promised) and self._takes_more(now) and blocks.withdraw(keep)

    def _takes_more(self, now: float) -> bool:
        """Not while the first answer is awaited: that says where the bytes are, and whether there are ranges.

        Nor while one connection brings what the hash takes: a second one would only fill memory.
        """
        coming = self.blocks.active or self.blocks.promised
        alone = not self.answered or now - self.opened_at < ALONE_S
        return not self.streaming and not (coming and (alone or self.plenty(now)))

    @property
    def supply(self) -> float:
        """The share of the time in which the latest blocks were hashed: in the rest they were waited for."""
        return self._hash_s / (self._hash_s + self._wait_s)

    def plenty(self, now: float) -> bool:
        """Whether bytes come as fast as they are hashed."""
        return self.supply >= PLENTY and (self.blocks.ready or now - self.rested_at < PATIENCE_S)

    def hashed(self, began: float, ended: float) -> None:
        """A block from the network was hashed in that time."""
        self._hash_s += (ended - began - self._hash_s) / SUPPLY_BLOCKS
        waited_s = min(began - self.rested_at, SCARCE_S)  # a pause of an hour says no more than that
        self._wait_s += (waited_s - self._wait_s) / SUPPLY_BLOCKS
        self.rested_at = ended

    @property
    def target(self) -> Path:
        """Its final name."""
        return self._staging.files / self.file.name

    @property
    def part(self) -> Path:
        """Named by what proves it: a file that moved to another name, or is asked for again, is the same."""
        return self._staging.work / f"{self.file.proof}-{self.file.digest}.part"

    def open(self) -> int:
        """Make or find the partial file; bytes of it that an earlier process left."""
        file = self.file
        known = None
        if not self.small:
            try:
                self._staging.work.mkdir(parents=True, exist_ok=True)
                self.journal = Journal(self.part.with_suffix(".journal"), boot_id(), self.blocks.block_bytes)
            except OSError as error:
                raise failed(file.name, error) from error
            known = self.journal.known
        there = self.part.exists() and not self.small
        self.partial = PartialFile(self.part, file.name, file.size_bytes)
        if known is None or not there:
            return self.blocks.begin_with({})
        filled, proven_to = known.filled, max(known.proofs, default=-1)
        self.proofs = {at: digest for at, digest in known.proofs.items() if at < self.blocks.count}
        if not known.lines:  # no line is left of the journal: what was ever written may be right, the hash will tell
            filled = self._written_blocks()
        self.blocks.tags = dict(known.tags)
        self.unsynced_bytes = 1  # what is known is of this boot only, until the next barrier
        return self.blocks.begin_with(filled, min(proven_to, self.blocks.count - 1))

    def _written_blocks(self) -> dict[int, int]:
        assert self.partial is not None
        size, found = self.blocks.block_bytes, {}
        for begin, end in self.partial.data_map():
            for index in range(-(-begin // size), self.blocks.count):
                if index * size + self.blocks.length(index) > end:
                    break
                found[index] = self.blocks.length(index)
        return found

    # -- the hash --------------------------------------------------------------------------------------------

    def judge(self, index: int, digest: str, *, fresh: bool) -> bool:
        """Whether a block that was just hashed is taken; one from the disk must give what it gave in memory."""
        expected = self.proofs.get(index)
        if expected == digest[:DIGEST_CHARS]:
            self.blocks.doubtful.discard(index)
            return True
        if expected is not None:
            if not fresh:
                return False
            self.proofs = {at: known for at, known in self.proofs.items() if at < index}
        elif index in self.blocks.inherited:
            self.blocks.doubtful.add(index)
        self.proofs[index] = digest[:DIGEST_CHARS]
        return True

    def settle(self) -> None:
        """Note the proofs of all blocks that are hashed and on disk by now, as all before them are."""
        for index in self.blocks.settle():
            if self.journal is not None:
                self.journal.proven(index, self.proofs[index])

    def again(self) -> int:
        """The whole has another hash than was promised: bytes that are fetched again; WrongBytesError: all was tried.

        First what no hash of ours ever covered; then, mirror by mirror, whatever is not that mirror's; at last the
        whole in one stream from one of them, for a server whose ranges lie.
        """
        blocks, everything = self.blocks, set(range(self.blocks.count))
        again = set(blocks.doubtful)
        if not again or again == everything:
            again = self._next_round(everything)
        self.hash = hashing.begin(self.file)
        self.proofs.clear()
        if self.journal is not None:
            self.journal.forget()
            for index in everything - again:
                self.journal.written(index, blocks.length(index), blocks.tags.get(index, "-"))
        return blocks.rewind(again)

    def _next_round(self, everything: set[int]) -> set[int]:
        mirrors, tags = self.mirrors, self.blocks.tags
        if self.rounds is None:
            shares = Counter(tags.values())
            self.rounds = sorted(
                (mirror for mirror in mirrors.all if mirror.given_up is None), key=lambda mirror: -shares[mirror.tag]
            )
        while self.rounds:
            mirror = self.rounds.pop(0)
            mixed = {index for index in everything if tags.get(index) != mirror.tag}
            if mixed and mirror.given_up is None:
                mirrors.only = mirror
                return mixed
        if mirrors.stream:
            raise wrong(self.file.name, f"{self.file.proof} differs, from every mirror, by ranges and as a whole")
        mirrors.stream = True
        return everything

    # -- the disk --------------------------------------------------------------------------------------------

    def write(self, index: int, view: memoryview, begin: int, end: int, tag: str) -> None:
        """Bytes [begin, end) of a block, and the word of it in the journal."""
        assert self.partial is not None
        # O_DIRECT takes whole pages: the page that the file ends in is cut off when it is complete.
        stop = end if self.small else -(-end // 4_096) * 4_096
        self.partial.write(view[begin:stop], index * self.blocks.block_bytes + begin)
        self.note(lambda journal: journal.written(index, end, tag))
        self.unsynced_bytes += end - begin

    def note(self, say: Callable[[Journal], None]) -> None:
        """Something for the journal; a journal that cannot be written is a disk that cannot."""
        if self.journal is not None:
            try:
                say(self.journal)
            except OSError as error:
                raise failed(self.file.name, error) from error

    def barrier(self) -> None:
        """What is written so far outlives a loss of power; nothing to do for a file that is complete."""
        with self._open:
            if self.done or self.journal is None or self.partial is None or not self.unsynced_bytes:
                return
            self.unsynced_bytes = 0
            mark = self.journal.mark()
            self.partial.sync()
            self.note(lambda journal: journal.durable(mark))

    def begin_writeback(self) -> None:
        """It will be finished soon."""
        if self.small and self.partial is not None:
            self.partial.begin_writeback()

    def finish(self) -> None:
        """Its final name: it is complete, proven and durable."""
        assert self.partial is not None
        with self._open:
            self.done = True
            self.partial.finish(self.target)
            self.note(lambda journal: journal.close(remove=True))

    def close(self) -> None:
        """Let go; what is there is kept for the next time, durably. Small files are brought anew."""
        if self.done:
            return
        if self.partial is not None:
            with contextlib.suppress(DownloadError):
                self.barrier()
            self.partial.close()
        if self.journal is not None:
            with contextlib.suppress(OSError):
                self.journal.close()
        if self.small:
            with contextlib.suppress(OSError):
                self.part.unlink()
