"""Which blocks of one file are missing, on their way, in memory or on disk, and how far the hash has come. No I/O.

The caller's lock guards it. A block goes from missing to active, then to held (in memory) or stored (on disk only), and
is behind the frontier once it is hashed. Those behind an active one may be promised: they come by the same answer.
"""

import heapq
from dataclasses import dataclass, field

BEHIND_MOST = 3
"""Blocks that one answer brings beyond its first: fewer requests, fewer wake-ups. Four connections keep 16 of 20."""


@dataclass(slots=True)
class Blocks:
    """Blocks of `block_bytes`, the last one shorter; a file without bytes has none."""

    size_bytes: int
    block_bytes: int
    missing: list[int] = field(default_factory=list)
    """A heap: the first block that is needed is asked for first."""
    filled: dict[int, int] = field(default_factory=dict)
    """Bytes from their start on that missing blocks have on disk."""
    promised: set[int] = field(default_factory=set)
    """Not asked for by anybody else."""
    active: set[int] = field(default_factory=set)
    held: dict[int, memoryview] = field(default_factory=dict)
    stored: set[int] = field(default_factory=set)
    tags: dict[int, str] = field(default_factory=dict)
    """Which origin the bytes are from."""
    inherited: set[int] = field(default_factory=set)
    """Blocks that hold bytes of an earlier process."""
    doubtful: set[int] = field(default_factory=set)
    """Those of them which nothing has proven."""
    frontier: int = 0
    """The block that is hashed next."""

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

    def promise(self, index: int) -> int:
        """How many missing ones directly behind `index`, of which nothing is on disk, are promised to its owner.

        None while the hash waits for bytes: then they come sooner by several connections.
        """
        count = 0
        while self.plenty and count < BEHIND_MOST and self.missing and self.missing[0] == index + 1 + count:
            if self.missing[0] in self.filled:
                break
            self.promised.add(heapq.heappop(self.missing))
            count += 1
        return count

    def release(self, begin: int, end: int) -> None:
        """Of the blocks [begin, end) those that still are promised are missing again."""
        for index in range(begin, end):
            if index in self.promised:
                self.promised.remove(index)
                heapq.heappush(self.missing, index)

    def claim(self, index: int) -> bool:
        """A certain one becomes active, if it is promised or missing."""
        if index in self.promised:
            self.promised.remove(index)
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

    def arrive(self, index: int, view: memoryview | None) -> None:
        """An active one is whole and on disk; `view` is its memory, until it is hashed."""
        self.active.discard(index)
        self.filled.pop(index, None)
        if view is None:
            self.stored.add(index)
        else:
            self.held[index] = view

    @property
    def ready(self) -> bool:
        """Whether the next block to hash is here."""
        return self.frontier in self.held or self.frontier in self.stored

    @property
    def plenty(self) -> bool:
        """Whether bytes come as fast as they are hashed."""
        return self.ready

    @property
    def awaited(self) -> bool:
        """Whether the next block to hash is on its way."""
        return self.frontier in self.active

    @property
    def outstanding(self) -> int:
        """Blocks that keep memory."""
        return len(self.active) + len(self.held)

    def spill(self) -> memoryview | None:
        """Memory of a block that is on disk and cannot be hashed soon; it will be read again."""
        if self.ready or not self.held:
            return None
        index = max(self.held)
        self.stored.add(index)
        return self.held.pop(index)

    def advance(self) -> memoryview | None:
        """The frontier's block is hashed; its memory, if it had any."""
        view = self.held.pop(self.frontier, None)
        if view is not None:
            self.stored.add(self.frontier)
        self.frontier += 1
        return view

    @property
    def complete(self) -> bool:
        """Whether every block is hashed."""
        return self.frontier == self.count

    def rewind(self, again: set[int]) -> int:
        """Begin the hash anew, with these blocks missing; their bytes."""
        self.frontier = 0
        self.doubtful.clear()
        self.inherited.clear()
        for index in again:
            self.lose(index)
        return sum(self.length(index) for index in again)
