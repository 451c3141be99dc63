import os
import sqlite3

import pytest

from actors.journal.errors import JournalBusyError, JournalCorruptError, JournalNewerError
from actors.journal.schema import VERSION
from actors.journal.store import JournalStore, quarantine


@pytest.fixture
def store(tmp_path):
    opened = JournalStore.open(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_a_command_goes_through_its_states_and_an_end_is_final(store):
    with store.transaction():
        store.add_command("a", "engine.start", b"envelope", 1)
    assert store.command("a") == (b"envelope", "accepted", None)
    with store.transaction():
        assert store.set_command("a", "running", 2)
        assert store.set_command("a", "done", 3, b"result")
        assert not store.set_command("a", "failed", 4, b"other")
    assert store.command("a") == (b"envelope", "done", b"result")
    assert store.open_commands() == []


def test_open_commands_come_in_the_order_they_were_accepted(store):
    with store.transaction():
        for number, name in enumerate(["b", "a", "c"]):
            store.add_command(name, "w", b"", number)
        store.set_command("a", "running", 9)
    assert [row[0] for row in store.open_commands()] == ["b", "a", "c"]


def test_offsets_grow_for_ever_and_pruned_rows_do_not_come_back(store):
    with store.transaction():
        offsets = [store.append(b"i" * 16, "event", b"%d" % n) for n in range(5)]
        store.prune(offsets[2])
    assert [row[0] for row in store.outbox(0, 10)] == offsets[3:]
    with store.transaction():
        store.prune(offsets[-1])
        again = store.append(b"i" * 16, "event", b"")
    assert again > offsets[-1]


def test_a_failed_transaction_changes_nothing(store):
    with pytest.raises(RuntimeError), store.transaction():
        store.put_state("k", b"v")
        raise RuntimeError
    assert store.get_state("k") is None


def test_desired_state_remembers_the_generation_of_what_is_gone(store):
    with store.transaction():
        store.put_desired("chat", 3, b"spec", "c")
        store.put_desired("chat", 4, None, "")
    assert store.desired() == [("chat", 4, None, "")]


def test_the_received_offset_never_goes_back(store):
    with store.transaction():
        store.put_received(5)
        store.put_received(3)
    assert store.received() == 5


def test_what_was_committed_is_there_after_reopening(tmp_path):
    file = tmp_path / "j.sqlite"
    first = JournalStore.open(file)
    with first.transaction():
        first.put_state("k", b"v")
    first.close()
    second = JournalStore.open(file)
    assert second.get_state("k") == b"v"
    second.close()


def test_a_newer_version_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "j.sqlite"
    JournalStore.open(file).close()
    raw = sqlite3.connect(file)
    raw.execute(f"PRAGMA user_version={VERSION + 1}")
    raw.close()
    with pytest.raises(JournalNewerError, match="newer version"):
        JournalStore.open(file)


def test_a085_a_damaged_file_is_named_and_can_be_set_aside(tmp_path):
    file = tmp_path / "j.sqlite"
    store = JournalStore.open(file)
    with store.transaction():
        for number in range(2_000):
            store.append(b"i" * 16, "event", b"x" * 100 + b"%d" % number)
    store.close()
    data = bytearray(file.read_bytes())
    data[4096 * 2 : 4096 * 3] = os.urandom(4096)
    file.write_bytes(bytes(data))
    with pytest.raises(JournalCorruptError):
        JournalStore.open(file)
    aside = quarantine(file, "1")
    assert aside.exists()
    JournalStore.open(file).close()


def test_a084_a_file_that_cannot_be_written_says_what_to_do(tmp_path):
    with pytest.raises(JournalBusyError, match="free space"):
        JournalStore.open(tmp_path / "absent" / "j.sqlite")


def test_a_full_file_refuses_and_keeps_what_was_there(store):
    with store.transaction():
        store.put_state("before", b"1")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(JournalBusyError), store.transaction():
        store.put_state("big", os.urandom(1 << 20))
    assert store.get_state("before") == b"1"
    assert store.get_state("big") is None
