"""A disk that refuses, a file that is damaged, older, newer or begun anew, and rooms that say what cannot be said."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from actors.journal import messages as say
from actors.journal.actor import JournalActor
from actors.journal.errors import JournalNewerError
from actors.journal.schema import STEPS, VERSION
from actors.journal.store import JournalStore
from config.journal import JournalSettings
from protocol.messages.commands import AgentDrain
from protocol.messages.reports import CommandAccepted, CommandResult, Event
from tests.actors.journal.test_actor import signed
from tests.fakes.context import FakeContext, FakeHandle
from tests.fakes.trust import NOW_MS


class Dry:
    """A journal without threads: `say` gives it a message and lets it commit."""

    def __init__(self, folder, **settings):
        self.file = folder / "journal.sqlite"
        self.owner, self.link = FakeHandle("/owner"), FakeHandle("/link")
        self.actor = JournalActor(
            file=self.file,
            settings=JournalSettings(**settings),
            routes={"agent": self.owner},
            link=self.link,
            wall=lambda: NOW_MS / 1000,
        )
        self.context = FakeContext(self.actor)
        self.actor.on_start()
        self.settle()

    def say(self, *messages):
        for message in messages:
            self.actor.on_message(message)
        self.settle()

    def settle(self):
        while own := self.context.handle.take():
            for message in own:
                self.actor.on_message(message)

    def ask(self, message):
        answer = self.actor.on_message(message)
        self.settle()
        return answer

    def accept(self, number, command=None):
        self.say(say.Accept(signed(number, command), number, False, self.link))

    def outbox(self, kind=object):
        return [row for row in self.ask(say.ReadOutbox(0, 1_000)) if isinstance(row.message, kind)]

    def told(self, kind):
        return [message for message in self.link.told if isinstance(message, kind)]

    def executed(self):
        return [message.command_id for message in self.owner.told if isinstance(message, say.Execute)]

    def disk(self, *, refuses):
        self.actor._store._db.execute(f"PRAGMA query_only={int(refuses)}")

    def timers(self):
        return [timer for timer in self.context.timers if timer.live]

    def close(self):
        self.actor.on_stop("test")


@pytest.fixture
def dry(tmp_path):
    made = Dry(tmp_path)
    yield made
    made.close()


def test_a084_while_the_disk_refuses_nothing_is_acknowledged_and_afterwards_commands_are_taken_again(dry):
    dry.disk(refuses=True)
    dry.accept(1)
    (refused,) = dry.told(say.NotAccepted)
    assert (refused.code, refused.later, refused.offset) == ("E_BUSY", True, None)
    assert dry.executed() == []
    dry.disk(refuses=False)
    dry.accept(1)
    dry.context.advance(60)
    dry.settle()
    assert [message.offset for message in dry.told(say.Accepted)] == [1]
    assert dry.executed() == [signed(1).command_id]
    assert dry.ask(say.ReadReceived()) == 1


def test_what_cannot_be_refused_waits_for_the_disk_and_is_written_in_order(dry):
    dry.accept(1)
    dry.disk(refuses=True)
    dry.say(say.Emit("k", "info", "s", "first"))
    dry.say(say.Outcome(signed(1).command_id, "done"))
    dry.disk(refuses=False)
    dry.context.advance(60)
    dry.settle()
    kinds = [type(row.message) for row in dry.outbox()]
    assert kinds == [CommandAccepted, Event, CommandResult]


def test_a_disk_that_refuses_for_long_leaves_one_timer_however_often_it_is_read(dry):
    dry.disk(refuses=True)
    dry.say(say.Emit("k", "info", "s", "waits"))
    for _ in range(50):
        dry.ask(say.RecentEvents())
        dry.say(say.PutState("k", b"v"))
    assert len(dry.timers()) == 1
    dry.context.advance(10)
    assert len(dry.timers()) == 1
    dry.disk(refuses=False)
    dry.context.advance(10)
    dry.settle()
    assert dry.timers() == []
    assert dry.ask(say.GetState("k")) == b"v"


FULL = """
import resource, signal, sys
from tests.actors.journal.test_actor import Bench, signed, say
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
bench = Bench(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
for number in range(1, 400):
    bench.accept(signed(number), offset=number)
answers = lambda: [m for m in bench.link.messages if isinstance(m, (say.Accepted, say.NotAccepted))]
bench.link.wait(object, lambda _: len(answers()) == 399, timeout_s=30)
taken = [m.command_id for m in answers() if isinstance(m, say.Accepted)]
unsaid = [m for m in answers() if isinstance(m, say.NotAccepted) and m.offset is None]
sys.stdout.write("RESULT " + " ".join([str(len(unsaid)), *taken]) + chr(10))
sys.stdout.flush()
import os
os._exit(0)
"""


def test_a084_a_file_system_that_takes_no_more_loses_nothing_that_was_acknowledged(tmp_path):
    file = tmp_path / "journal.sqlite"
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(file)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    result = [line for line in ran.stdout.splitlines() if line.startswith("RESULT")]
    assert result, ran.stderr
    unsaid, *taken = result[0].split()[1:]
    assert int(unsaid) > 0, "the limit was never met"
    assert taken
    store = JournalStore.open(file)
    kept = {command_id for command_id, *_ in store.open_commands()}
    store.close()
    assert set(taken) <= kept


def test_a_newer_file_is_left_as_it_is_and_the_actor_does_not_start(tmp_path):
    dry = Dry(tmp_path)
    dry.accept(1)
    dry.close()
    raw = sqlite3.connect(dry.file)
    raw.execute(f"PRAGMA user_version={VERSION + 1}")
    raw.close()
    with pytest.raises(JournalNewerError, match="install that version"):
        Dry(tmp_path)
    assert [path.name for path in tmp_path.glob("*damaged*")] == []


def test_an_older_file_is_brought_up_to_date_with_all_that_is_in_it(tmp_path):
    raw = sqlite3.connect(tmp_path / "journal.sqlite")
    raw.executescript(STEPS[0])
    raw.execute("PRAGMA user_version=1")
    for number in (2, 1):
        command = signed(number)
        raw.execute(
            "INSERT INTO commands VALUES (?, ?, ?, 'accepted', ?, ?, NULL)",
            (command.command_id, command.command.TYPE, command.envelope, 10 - number, 10),
        )
    raw.execute("INSERT INTO events (payload) VALUES (x'80')")
    raw.execute("INSERT INTO outbox (position, message_id, word, payload) VALUES (40, x'00', 'event', x'80')")
    raw.commit()
    raw.close()
    dry = Dry(tmp_path)
    assert dry.executed() == [signed(2).command_id, signed(1).command_id]
    dry.accept(3)
    dry.say(say.Resume(40, 40))
    assert [row.offset for row in dry.outbox()] == [41], "a file in use goes on counting where it was"
    dry.close()


def test_commands_of_one_millisecond_come_again_in_the_order_they_came(tmp_path):
    numbers = (7, 3, 9, 1)
    dry = Dry(tmp_path)
    for number in numbers:
        dry.accept(number)
    dry.close()
    again = Dry(tmp_path)
    assert again.executed() == [signed(number).command_id for number in numbers]
    again.close()


def test_a_command_that_this_version_cannot_read_fails_with_words(tmp_path):
    dry = Dry(tmp_path)
    dry.accept(1)
    dry.actor._store._db.execute("UPDATE commands SET envelope = x'00'")
    dry.close()
    again = Dry(tmp_path)
    assert again.executed() == []
    (result,) = [row.message for row in again.outbox(CommandResult)]
    assert (result.state, result.error.code) == ("failed", "E_SCHEMA")
    again.close()


def test_a_row_that_nobody_can_read_is_passed_over(dry):
    for number in range(3):
        dry.say(say.Emit("k", "info", "s", str(number)))
    dry.actor._store._db.execute("UPDATE outbox SET payload = x'c1' WHERE position = 2")
    dry.actor._store._db.execute("UPDATE events SET payload = x'c1' WHERE position = 2")
    assert [row.message.text for row in dry.outbox()] == ["0", "2"]
    assert [row.offset for row in dry.ask(say.ReadOutbox(1, 1))] == [3]
    assert [event.text for event in dry.ask(say.RecentEvents(10))] == ["0", "2"]


def damage(file, page):
    data = bytearray(file.read_bytes())
    data[4096 * page : 4096 * (page + 1)] = b"\xa5" * 4096
    file.write_bytes(bytes(data))


def root_page(file, name):
    raw = sqlite3.connect(file)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    raw.close()
    return page - 1


@pytest.mark.parametrize("table", ["events", "outbox_word", "desired", "state"])
def test_a085_what_a_damaged_file_still_gives_is_taken_over(tmp_path, table):
    dry = Dry(tmp_path)
    for number in range(1, 60):
        dry.accept(number)
        dry.say(say.Outcome(signed(number).command_id, "done") if number % 2 else say.Emit("k", "info", "s", "t"))
    dry.close()
    damage(dry.file, root_page(dry.file, table))
    again = Dry(tmp_path)
    assert again.executed() == [signed(number).command_id for number in range(2, 60, 2)], "accepted is not forgotten"
    assert sorted(row.message.command_id for row in again.outbox(CommandResult)) == sorted(
        signed(number).command_id for number in range(1, 60, 2)
    )
    (event,) = [event for event in again.ask(say.RecentEvents(1_000)) if event.kind == "journal.damaged"]
    assert "59 commands" in event.text
    assert again.ask(say.ReadReceived()) == (0 if table == "state" else 59)
    again.close()


def test_a_file_that_was_begun_anew_does_not_count_from_where_the_master_has_been(tmp_path):
    dry = Dry(tmp_path)
    for number in range(10):
        dry.say(say.Emit("k", "info", "s", str(number)))
    dry.say(say.Resume(4, 4))
    assert [(row.offset, row.message.text) for row in dry.outbox()] == [(n + 5, str(n)) for n in range(10)]
    dry.say(say.Emit("k", "info", "s", "10"), say.Acknowledged(13), say.Resume(13, 13))
    assert [(row.offset, row.message.text) for row in dry.outbox()] == [(14, "9"), (15, "10")], "once is enough"
    dry.close()


def test_an_old_copy_of_the_file_goes_on_above_what_the_master_has(dry):
    dry.say(say.Resume(0, 0))
    dry.say(say.Emit("k", "info", "s", "a"), say.Resume(1_000, 1_000))
    assert [(row.offset, row.message.text) for row in dry.outbox()] == [(1_001, "a")]


def test_the_next_master_has_a_stream_of_its_own(dry):
    dry.accept(5)
    assert dry.ask(say.ReadReceived()) == 5
    dry.ask(say.ForgetReceived())
    assert dry.ask(say.ReadReceived()) == 0


def test_the_outbox_is_bounded_in_bytes_as_well(tmp_path):
    dry = Dry(tmp_path, outbox_bytes_max=1_048_576)
    for number in range(400):
        dry.say(say.Emit("k", "info", "s", f"{number} " + "x" * 4_000))
    store = dry.actor._store
    assert store.outbox_bytes <= 1_048_576 + 5_000
    assert store.outbox_bytes == sum(row[0] for row in store._db.execute("SELECT LENGTH(payload) FROM outbox"))
    assert store.outbox_rows == len(dry.outbox())
    assert dry.outbox()[-1].message.text.startswith("399 ")
    dry.close()


def test_where_only_results_wait_an_event_stays_on_this_machine(tmp_path):
    dry = Dry(tmp_path, outbox_rows_max=100)
    for number in range(1, 51):
        dry.accept(number)
        dry.say(say.Outcome(signed(number).command_id, "done"))
    dry.say(say.Emit("k", "info", "s", "late"))
    assert len(dry.outbox()) == 100
    assert dry.outbox(Event) == []
    assert [event.text for event in dry.ask(say.RecentEvents())] == ["late"]
    dry.close()


def test_a_room_that_says_what_cannot_be_said_costs_its_own_words_only(dry):
    dry.accept(1)
    dry.say(
        say.Emit("k" * 999, "loud", "s" * 999, "t" * 9_999, {"n": float("nan"), "x": "y" * 999}),
        say.Emit("k", "info", "s", "many", {f"{n:0200}": "v" * 200 for n in range(500)}),
        say.Progress("not an id", "stage", -5),
        say.Outcome("not an id", "done"),
        say.Outcome(signed(1).command_id, "done", None, {f"k{n}": "v" * 200 for n in range(1_000)}),
    )
    first, second = [row.message for row in dry.outbox(Event)]
    assert (first.severity, len(first.text)) == ("error", 4_096)
    assert set(first.fields) == {"left_out"}
    assert second.fields == {"left_out": "too long"}
    (result,) = [row.message for row in dry.outbox(CommandResult)]
    assert (result.state, result.data) == ("done", {"left_out": "too long"})


def test_a020_the_same_id_with_other_bytes_changes_nothing_and_is_not_asked_for_again(dry):
    dry.accept(1)
    dry.say(say.Accept(signed(1, AgentDrain(enabled=True)), 2, False, dry.link))
    (refused,) = dry.told(say.NotAccepted)
    assert (refused.code, refused.offset) == ("E_DUP_CONFLICT", 2)
    assert dry.ask(say.ReadReceived()) == 2
    assert len(dry.executed()) == 1
