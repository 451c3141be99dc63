"""A clock that is set neither ends a waiting command nor brings one back."""

import asyncio

from actors.master.endpoint import Endpoint
from actors.master.keys import make_keys
from actors.master.lives import KEPT, STEP_MS, Lives, Steps
from actors.master.service import Master
from actors.master.sqlite_book import SqliteBook
from tests.actors.master.test_book import AGENT as ROW
from tests.actors.master.test_book import TOKEN

WALL_MS, HOUR_MS, TTL_MS = 1_800_000_000_000, 3_600_000, 60_000
AGENT = ROW.agent_id


class Clocks:
    def __init__(self):
        self.wall, self.steady = WALL_MS, 5_000

    def passes(self, ms):
        self.wall += ms
        self.steady += ms


def test_what_this_process_queued_is_as_old_as_the_steady_clock_says():
    lives = Lives(WALL_MS, 0)
    lives.began("c", 10)
    assert not lives.over("c", WALL_MS - HOUR_MS, TTL_MS, 10 + TTL_MS)
    assert lives.over("c", WALL_MS + HOUR_MS, TTL_MS, 11 + TTL_MS)


def test_what_an_earlier_process_left_is_judged_once_by_the_wall_clock():
    lives = Lives(WALL_MS, 1_000)
    assert not lives.over("c", WALL_MS - TTL_MS, TTL_MS, 1_000)
    assert lives.over("c", WALL_MS - TTL_MS, TTL_MS, 1_001)
    assert not lives.over("c", WALL_MS + HOUR_MS, TTL_MS, 1_000 + TTL_MS), "from a clock that was ahead: young"
    assert lives.over("c", WALL_MS + HOUR_MS, TTL_MS, 1_001 + TTL_MS)


def test_what_is_remembered_is_bounded():
    lives = Lives(WALL_MS, 0)
    for number in range(KEPT + 1):
        lives.began(str(number), 0)
    assert lives.over("0", WALL_MS - HOUR_MS, TTL_MS, 0)
    assert not lives.over("1", WALL_MS - HOUR_MS, TTL_MS, 0)


def test_a_step_of_the_masters_clock_moves_no_time_limit_whichever_way(tmp_path):
    keys = make_keys(tmp_path, WALL_MS)

    async def scene():
        clocks = Clocks()

        def master():
            return Master(
                keys,
                SqliteBook(tmp_path / "book"),
                "host",
                wall_ms=lambda: clocks.wall,
                steady_ms=lambda: clocks.steady,
            )

        made = master()
        await made.book(made.rows.add_token, TOKEN)
        await made.book(made.rows.enrol, ROW, TOKEN.token_id)

        async def state(command):
            return (await made.show_command(command.command_id))["state"]

        for step in (HOUR_MS, -2 * HOUR_MS):
            command = await made.command(AGENT, "agent.status", {}, TTL_MS)
            clocks.wall += step
            clocks.passes(TTL_MS - 1_000)
            assert await state(command) == "queued"
            clocks.passes(2_000)
            assert await state(command) == "expired"
        waiting = await made.command(AGENT, "agent.status", {}, TTL_MS)
        await made.close()
        clocks.passes(TTL_MS - 1_000)
        made = master()
        clocks.wall += HOUR_MS
        assert await state(waiting) == "queued", "a step after the restart is none of its business"
        clocks.passes(2_000)
        assert await state(waiting) == "expired"
        await made.close()

    asyncio.run(scene())


def test_a_clock_that_was_set_is_noticed_once_and_one_that_drifts_is_not():
    steps = Steps(WALL_MS, 0)
    assert steps.moved_ms(WALL_MS + 10_000, 10_000) == 0
    assert steps.moved_ms(WALL_MS + 20_000 + STEP_MS, 20_000) == 0
    assert steps.moved_ms(WALL_MS + 25_000, 25_000) == 0
    assert steps.moved_ms(WALL_MS + 30_000 - HOUR_MS, 30_000) == -HOUR_MS
    assert steps.moved_ms(WALL_MS + 40_000 - HOUR_MS, 40_000) == 0


class Session:
    """What the endpoint keeps of a link, as far as goodbyes go."""

    def __init__(self):
        self.goodbyes = []

    async def goodbye(self, spread_ms):
        self.goodbyes.append(spread_ms)


def test_sessions_measure_the_clock_anew_after_it_was_set(tmp_path):
    clocks = Clocks()

    async def scene():
        made = Master(
            make_keys(tmp_path, WALL_MS),
            SqliteBook(tmp_path / "book"),
            "host",
            wall_ms=lambda: clocks.wall,
            steady_ms=lambda: clocks.steady,
        )
        endpoint, session = Endpoint(made, frozenset()), Session()
        endpoint._links["a"] = session
        clocks.passes(5_000)
        await endpoint.look_at_clock()
        assert not session.goodbyes
        clocks.wall -= HOUR_MS
        await endpoint.look_at_clock()
        await endpoint.look_at_clock()
        assert len(session.goodbyes) == 1
        (event,) = await made.book(made.rows.events, 0, 10, None)
        assert (event["kind"], event["severity"]) == ("master.clock_set", "warning")
        assert "3600 s back" in event["text"]
        await made.close()

    asyncio.run(scene())
