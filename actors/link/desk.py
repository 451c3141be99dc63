"""Where the actor's thread and the loop's thread meet: one deque, a few plain values, one coalesced wake-up.

The actor's side only appends and sets; the loop's side takes. A burst of messages costs one wake-up.
"""

import asyncio
import contextlib
import time
from collections import deque

from protocol.keys import KeyPair

from .outgoing import Item, Outgoing


class Desk:
    """Lives as long as the loop; sessions come and go."""

    def __init__(self, received_offset: int) -> None:
        self.inbox: deque[Item] = deque()
        self.outgoing = Outgoing()
        """What waits by lane; the loop's thread only."""
        self.ack = received_offset
        """The master's stream is on our disk up to here."""
        self.sent_offset = 0
        """Highest offset of our own stream that was ever sent."""
        self.stopping = False
        self.dropping = ""
        self.next_key: KeyPair | None = None
        """A key that the master is to learn."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._woken = False

    # -- from any thread -------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Send this when there is a session."""
        self.inbox.append(item)
        self._nudge()

    def acknowledge(self, offset: int) -> None:
        """The master's stream is on our disk up to here; said with the next frame."""
        self.ack = max(self.ack, offset)
        self._nudge()

    def drop(self, why: str) -> None:
        """End this session: the next one begins where the journal is."""
        self.dropping = why
        self._nudge()

    def rotate(self, key: KeyPair) -> None:
        """Bring this next key to the master, in this session or the next."""
        self.next_key = key
        self._nudge()

    def stop(self) -> None:
        """End soon."""
        self.stopping = True
        self._woken = False
        self._nudge()

    def _nudge(self) -> None:
        loop = self._loop
        if loop is None or self._woken:
            return
        self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(self.awake)

    # -- from the loop's thread ------------------------------------------------------------------------------

    def open(self) -> None:
        """The loop runs: nudges arrive from now on."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()

    def awake(self) -> None:
        """There may be something to do."""
        self._woken = False
        assert self._wake is not None
        self._wake.set()

    async def anything(self, limit_s: float | None = None) -> bool:
        """Until there may be something to do, at once when there is; False when that took longer than the limit."""
        assert self._wake is not None
        self._wake.clear()
        if self.inbox or self.stopping or self.dropping or self.next_key is not None:
            return True
        try:
            await asyncio.wait_for(self._wake.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    async def sleep(self, delay_s: float) -> None:
        """That long, or until stopped."""
        assert self._wake is not None
        end = time.monotonic() + delay_s
        while not self.stopping and (left := end - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
