"""A task that is there while there is work, beside a reader that always is: who is idle costs no task more."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class OnDemand:
    """`work` runs when stirred, until nothing is due; what it raises ends the reader."""

    __slots__ = ("_broken", "_due", "_reader", "_task", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._due = True
        self._reader: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None

    def stir(self) -> None:
        """There is work: now, or as soon as the reader reads."""
        self._due = True
        if self._task is None and self._reader is not None:
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(self._ended)

    def due(self) -> bool:
        """Whether it was stirred since it was asked last."""
        due, self._due = self._due, False
        return due

    async def beside(self, read: Coroutine[Any, Any, None]) -> None:
        """Read in the caller's task until either ends; raises why."""
        self._reader = reader = asyncio.current_task()
        assert reader is not None
        self.stir()
        try:
            await read
        except asyncio.CancelledError:
            if self._broken is None:
                raise  # it is the caller that was cancelled, not the work that ended
            reader.uncancel()
            raise self._broken from None
        finally:
            self._reader = None  # the work's end is ours now, and cancels nobody
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if self._reader is None:
            return
        if error is not None:
            self._broken = error
            self._reader.cancel()
        elif self._due:
            self.stir()
