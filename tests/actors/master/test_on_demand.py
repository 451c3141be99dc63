import asyncio

import pytest

from actors.master.on_demand import OnDemand


class Desk:
    """Work that counts its runs, may be held up, and may fail."""

    def __init__(self):
        self.runs, self.fails, self.free = 0, None, asyncio.Event()
        self.free.set()
        self.demand = OnDemand(self.work)
        self.ran = asyncio.Condition()

    async def work(self):
        while self.demand.due():
            await self.free.wait()
            if self.fails is not None:
                raise self.fails
            async with self.ran:
                self.runs += 1
                self.ran.notify_all()

    async def until(self, runs):
        async with asyncio.timeout(20.0), self.ran:
            await self.ran.wait_for(lambda: self.runs >= runs)


def others():
    return len(asyncio.all_tasks()) - 1


def test_work_that_was_due_before_anybody_read_is_done_first_and_leaves_no_task():
    async def scene():
        desk = Desk()
        desk.demand.stir()
        desk.demand.stir()

        async def read():
            await desk.until(1)
            await asyncio.sleep(0)
            assert others() == 0
            desk.demand.stir()
            await desk.until(2)

        await desk.demand.beside(read())
        assert desk.runs == 2
        assert others() == 0

    asyncio.run(scene())


def test_what_comes_while_it_works_is_done_in_the_same_task():
    async def scene():
        desk = Desk()

        async def read():
            desk.free.clear()
            await asyncio.sleep(0)
            for _ in range(5):
                desk.demand.stir()
            assert others() == 1
            desk.free.set()
            await desk.until(2)

        await desk.demand.beside(read())
        assert desk.runs == 2

    asyncio.run(scene())


def test_work_that_fails_ends_the_reader_with_its_error():
    async def scene():
        desk = Desk()
        desk.fails = ConnectionResetError("gone")
        with pytest.raises(ConnectionResetError, match="gone"):
            await desk.demand.beside(asyncio.Event().wait())
        assert others() == 0
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(scene())


def test_a_reader_that_ends_takes_the_work_with_it_and_is_not_disturbed():
    async def scene():
        desk = Desk()
        desk.free.clear()

        async def read():
            await asyncio.sleep(0)
            desk.fails = RuntimeError("too late")
            desk.free.set()
            raise ConnectionError("the peer has gone")

        with pytest.raises(ConnectionError, match="the peer has gone"):
            await desk.demand.beside(read())
        desk.demand.stir()
        assert others() == 0

    asyncio.run(scene())


def test_who_is_cancelled_from_outside_is_cancelled():
    async def scene():
        desk = Desk()
        task = asyncio.create_task(desk.demand.beside(asyncio.Event().wait()))
        await desk.until(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert others() == 0

    asyncio.run(scene())
