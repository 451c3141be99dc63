"""Which blocks of one file are missing, on their way, in memory or on disk, and how far the hash has come. No I/O.

The caller's lock guards it. A block goes from missing to active, then to held (in memory, and unwritten until the disk
has it) or stored (on disk only), and is behind the frontier once it is hashed. Those behind an active one may be
promised: they come by the same answer.
"""

import heapq
from dataclasses import dataclass, field


@dataclass(slots=True)
class Blocks:
    """Blocks of `block_bytes`, the last one shorter; a file without bytes has none."""

    size_bytes: int
    block_bytes: int
    missing: list[int] = field(default_factory=list)
    """A heap: the first block that is needed is asked for first."""
    filled: dict[int, int] = field(default_factory=dict)
    """Bytes from their start on that missing blocks have on disk."""
    promised: dict[int, int] = field(default_factory=dict)
    """Those that come by the answer that began with another one, and are asked for by nobody else; that other one."""
    active: set[int] = field(default_factory=set)
    held: dict[int, memoryview] = field(default_factory=dict)
    stored: set[int] = field(default_factory=set)
    unwritten: set[int] = field(default_factory=set)
    """Of those in memory, what the disk does not have yet: they are hashed while they are written."""
    kept: dict[int, memoryview] = field(default_factory=dict)
    """Memory of those that are hashed and unwritten."""
    tags: dict[int, str] = field(default_factory=dict)
    """Which origin the bytes are from."""
    inherited: set[int] = field(default_factory=set)
    """Blocks that hold bytes of an earlier process."""
    doubtful: set[int] = field(default_factory=set)
    """Those of them which nothing has proven."""
    frontier: int = 0
    """The block that is hashed next."""
    settled: int = 0
    """All before it are hashed and on disk."""

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self.size_bytes // self.block_bytes)

    def begin_with(self, filled: dict[int, int], proven_to: int = -1) -> int:
        """What an earlier process left: bytes of each block; all up to `proven_to` are whole. Bytes that count."""
        total = 0
        for index in range(self.count):
            length = self.length(index)
            have = length if index <= proven_to else min(filled.get(index, 0), length)
            total += have
            if have:
                self.inherited.add(index)
            if have == length:
                self.stored.add(index)
                continue
            self.missing.append(index)
            if have:
                self.filled[index] = have
        heapq.heapify(self.missing)
        return total

    def length(self, index: int) -> int:
        """Bytes of a block."""
        return min(self.block_bytes, self.size_bytes - index * self.block_bytes)

    def take(self) -> int:
        """The first missing one becomes active."""
        index = heapq.heappop(self.missing)
        self.active.add(index)
        return index

    def promise(self, index: int, most: int | None) -> int:
        """How many missing ones directly behind `index`, of which nothing is on disk, are promised to its owner.

        `most` of them, or all.
        """
        count = 0
        while (most is None or count < most) and self.missing and self.missing[0] == index + 1 + count:
            if self.missing[0] in self.filled:
                break
            self.promised[heapq.heappop(self.missing)] = index
            count += 1
        return count

    def release(self, begin: int, end: int, first: int) -> None:
        """Of the blocks [begin, end) those that still are promised to the answer from `first` on are missing again."""
        for index in range(begin, end):
            if self.promised.get(index) == first:
                del self.promised[index]
                heapq.heappush(self.missing, index)

    def claim(self, index: int, first: int) -> bool:
        """A certain one becomes active, if it is promised to the answer from `first` on, or missing."""
        if self.promised.get(index) == first:
            del self.promised[index]
        elif index in self.missing:
            self.missing.remove(index)
            heapq.heapify(self.missing)
        else:
            return False
        self.active.add(index)
        return True

    def give_back(self, index: int, filled: int) -> None:
        """An active one is missing again, with so many bytes on disk."""
        self.active.discard(index)
        self.lose(index, filled)

    def lose(self, index: int, filled: int = 0) -> None:
        """A block that nobody has is missing."""
        self.stored.discard(index)
        self.filled.pop(index, None)
        if filled:
            self.filled[index] = filled
        else:
            self.inherited.discard(index)
        heapq.heappush(self.missing, index)

    def arrive(self, index: int, view: memoryview) -> None:
        """An active one is whole in memory, and is being written; `view` is kept until it is hashed and `wrote`."""
        self.active.discard(index)
        self.filled.pop(index, None)
        self.held[index] = view
        self.unwritten.add(index)

    def wrote(self, index: int) -> memoryview | None:
        """It is on disk; its memory, if it is hashed."""
        self.unwritten.discard(index)
        if index < self.frontier:
            self.stored.add(index)
        return self.kept.pop(index, None)

    def settle(self) -> range:
        """Those that are hashed and on disk, as all before them, and were not when it was asked last."""
        begin = self.settled
        while self.settled < self.frontier and self.settled not in self.unwritten:
            self.settled += 1
        return range(begin, self.settled)

    @property
    def ready(self) -> bool:
        """Whether the next block to hash is here."""
        return self.frontier in self.held or self.frontier in self.stored

    def withdraw(self, keep: int) -> bool:
        """Promised ones are missing, but for the next `keep` of each answer; whether there were any.

        Who reads that answer goes on with it until it comes to one that somebody else took.
        """
        begins: dict[int, int] = {}
        for index, first in self.promised.items():
            begins[first] = min(index, begins.get(first, index))
        far = [index for index, first in self.promised.items() if index >= begins[first] + keep]
        for index in far:
            del self.promised[index]
            heapq.heappush(self.missing, index)
        return bool(far)

    @property
    def awaited(self) -> bool:
        """Whether the next block to hash is on its way."""
        return self.frontier in self.active or self.frontier in self.promised

    @property
    def outstanding(self) -> int:
        """Blocks that keep memory."""
        return len(self.active) + len(self.held) + len(self.kept)

    def spill(self) -> memoryview | None:
        """Memory of a block that is on disk and cannot be hashed soon; it will be read again."""
        written = self.held.keys() - self.unwritten
        if self.ready or not written:
            return None
        index = max(written)
        self.stored.add(index)
        return self.held.pop(index)

    def advance(self) -> memoryview | None:
        """The frontier's block is hashed; its memory, if it had any and is not being written from."""
        index, view = self.frontier, self.held.pop(self.frontier, None)
        self.frontier += 1
        if view is None:
            return None
        if index in self.unwritten:
            self.kept[index] = view
            return None
        self.stored.add(index)
        return view

    @property
    def complete(self) -> bool:
        """Whether every block is hashed and on disk."""
        return self.frontier == self.count and not self.unwritten

    def rewind(self, again: set[int]) -> int:
        """Begin the hash anew, with these blocks missing; their bytes."""
        self.frontier = self.settled = 0
        self.doubtful.clear()
        self.inherited.clear()
        for index in again:
            self.lose(index)
        return sum(self.length(index) for index in again)
