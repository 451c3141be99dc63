"""The book of an earlier version is brought up to date, and keys move through their slots."""

import sqlite3

import pytest

from actors.master.book import AgentRow, TokenRow
from actors.master.sqlite_book import SCHEMA, VERSION, SqliteBook

TOKEN = TokenRow(b"t" * 8, b"m" * 32, 2**60, 1, "", "", approve=True, hosts="gpu-*", network="10.0.0.0/8")
AGENT = AgentRow("a", b"1" * 32, None, 1, "active", 0, 1)


@pytest.fixture
def book(tmp_path):
    opened = SqliteBook(tmp_path / "book.sqlite")
    opened.add_token(TOKEN)
    assert opened.enrol(AGENT, TOKEN.token_id)
    yield opened
    opened.close()


def test_a_book_of_the_first_version_keeps_what_is_in_it(tmp_path):
    file = tmp_path / "book.sqlite"
    old = sqlite3.connect(file, isolation_level=None)
    old.executescript(f"BEGIN;{SCHEMA};PRAGMA user_version=1;COMMIT")
    old.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", (b"t" * 8, b"m" * 32, 2**60, 1, "old"))
    old.close()
    for _ in range(2):
        book = SqliteBook(file)
        assert book.token(b"t" * 8) == TokenRow(b"t" * 8, b"m" * 32, 2**60, 1, "old")
        book.close()
    check = sqlite3.connect(file)
    assert check.execute("PRAGMA user_version").fetchone() == (VERSION,)
    check.close()


def test_a_token_keeps_its_scope_and_has_so_many_uses(book):
    assert book.token(TOKEN.token_id) == TokenRow(*[*vars_of(TOKEN)[:3], 0, *vars_of(TOKEN)[4:]])
    assert not book.enrol(AGENT, TOKEN.token_id)
    assert not book.recover("a", b"2" * 32, TOKEN.token_id)
    assert book.agent("a").public == b"1" * 32


def vars_of(row):
    return [getattr(row, name) for name in row.__dataclass_fields__]


def test_keys_move_through_their_slots(book):
    assert book.agent("a").publics(0) == (b"1" * 32,)
    book.set_next_key("a", b"2" * 32)
    assert book.agent("a").publics(0) == (b"1" * 32, b"2" * 32)
    book.promote_key("a", b"x" * 32, 100)
    assert book.agent("a").public == b"1" * 32, "a key that is not the next changes nothing"
    book.promote_key("a", b"2" * 32, 100)
    assert book.agent("a").publics(99) == (b"2" * 32, b"1" * 32)
    assert book.agent("a").publics(100) == (b"2" * 32,)


def test_a_refusal_ends_only_a_waiting_command_of_that_agent(book):
    from actors.master.book import CommandRow

    book.add_command(CommandRow("c", "a", 0, "agent.status", b"e", 1, 1, "queued", None, None, 1))
    assert not book.refuse_command("b", "c", {"code": "E_X"}, 2)
    assert book.refuse_command("a", "c", {"code": "E_X"}, 2)
    assert not book.refuse_command("a", "c", {"code": "E_Y"}, 3)
    assert (book.command("c").state, book.command("c").result) == ("refused", {"error": {"code": "E_X"}})


def test_of_an_alert_the_newest_state_is_kept_with_when_it_came(book):
    alert = {"fingerprint": "f", "rule": "gpu_lost", "state": "firing", "starts_at_ms": 900}
    book.receive("a", [(1, "alert", alert)], 1_000)
    book.receive("a", [(1, "alert", alert)], 2_000)
    assert book.alerts("a") == [{"agent_id": "a", **alert, "received_ms": 1_000}], "it came once"
    book.receive("a", [(2, "alert", alert | {"state": "resolved"})], 3_000)
    assert [(row["state"], row["received_ms"]) for row in book.alerts(None)] == [("resolved", 3_000)]
