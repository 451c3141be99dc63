"""A keyset that will expire is told loudly before its day, by the master and by its agents."""

import asyncio
import contextlib
import time

import pytest

from actors.journal.messages import Emit
from actors.link.actor import LinkActor
from actors.master.keys import DAY_MS, KEYSET_LIFE_MS, make_keys
from actors.master.server import watch_keyset
from actors.master.service import Master
from actors.master.sqlite_book import SqliteBook
from protocol.errors import Code, ProtocolError
from tests.fakes.listener import Listener


def now_ms():
    return int(time.time() * 1000)


@pytest.mark.parametrize(
    ("left_days", "severity"), [(40, None), (20, "warning"), (5, "critical"), (-1, "critical")], ids=str
)
def test_the_master_tells_it_as_an_event_and_takes_no_command_after_the_day(tmp_path, left_days, severity):
    keys = make_keys(tmp_path, now_ms() - KEYSET_LIFE_MS + left_days * DAY_MS)

    async def look():
        master = Master(keys, SqliteBook(tmp_path / "book.sqlite"), "host:1")
        watching = asyncio.create_task(watch_keyset(master))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0 if severity else 0.2):
                while not await master.book(master.rows.events, 0, 10, None):
                    async with master.changed:
                        await master.changed.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        found = await master.book(master.rows.events, 0, 10, None)
        await master.close()
        return found

    told = asyncio.run(look())
    assert [event["severity"] for event in told] == ([severity] if severity else [])
    assert keys.keyset.expired(now_ms()) == (left_days < 0)


def test_an_expired_keyset_signs_nothing(tmp_path):
    keys = make_keys(tmp_path, now_ms() - KEYSET_LIFE_MS - DAY_MS)

    async def ask():
        from actors.master.book import AgentRow

        master = Master(keys, SqliteBook(tmp_path / "book.sqlite"), "host:1")
        try:
            await master.book(master.rows.enrol, AgentRow("a", b"p" * 32, None, 1, "active", 0, 1), b"t" * 8)
            agent = await master.book(master.rows.agent, "a")
            if agent is None:  # no token was left for it: it is put in by hand
                await master.book(
                    lambda: master.rows._db.execute(
                        "INSERT INTO agents (agent_id, public, enrolled_ms, state, received_offset, seen_ms, inventory,"
                        " report, report_ms) VALUES ('a', x'00', 1, 'active', 0, 1, '{}', '{}', 0)"
                    )
                )
            await master.command("a", "agent.status", {}, None)
        finally:
            await master.close()

    with pytest.raises(ProtocolError) as caught:
        asyncio.run(ask())
    assert caught.value.code is Code.KEYSET_EXPIRED


@pytest.mark.parametrize(
    ("left_days", "severity"), [(40, None), (20, "warning"), (5, "critical"), (-1, "critical")], ids=str
)
def test_an_agent_tells_it_once_a_day(left_days, severity):
    actor, journal = LinkActor.__new__(LinkActor), Listener()
    actor._wall, actor._journal, actor._keyset_told = lambda: 1_000_000.0, journal, None
    for _ in range(3):
        actor._look_at_keyset(int((1_000_000 + left_days * 86_400) * 1000))
    assert [event.severity for event in journal.of(Emit)] == ([severity] if severity else [])
