"""A bounded pool of page-aligned memory: what O_DIRECT writes from and the network reads into.

In huge pages where there are any: a disk takes a block of small pages apart into requests of so many pages each.
"""

import contextlib
import mmap

ALIGN_BYTES = 4_096


class Buffers:
    """`count` blocks of `block_bytes`; the one that was given back last is taken first, since it is in the cache.

    The caller's lock guards it. Memory is real only once a block was used.
    """

    def __init__(self, count: int, block_bytes: int) -> None:
        self._memory = mmap.mmap(-1, count * block_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel without: small pages, and twice the requests to the disk
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        whole = memoryview(self._memory)
        self._views = [whole[at * block_bytes : (at + 1) * block_bytes] for at in range(count)]
        whole.release()
        self._free = list(reversed(self._views))

    def take(self, most: int, spare: int) -> memoryview | None:
        """A block; None when `most` would be in use then, or all, or fewer than `spare` would be left of those."""
        most = min(most, len(self._views)) - spare
        return self._free.pop() if len(self._views) - len(self._free) < most else None

    def give(self, view: memoryview) -> None:
        """Back."""
        self._free.append(view)

    def close(self) -> None:
        """Give the memory back to the system; no block may be in use any more.

        A failure that is still being told may hold a part of a block: then the memory goes with it.
        """
        self._free.clear()
        with contextlib.suppress(BufferError):
            while self._views:
                self._views.pop().release()
            self._memory.close()


def aligned(count: int) -> int:
    """Rounded up to what O_DIRECT takes."""
    return -(-count // ALIGN_BYTES) * ALIGN_BYTES
