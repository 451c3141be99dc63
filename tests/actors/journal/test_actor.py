import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.journal import messages as say
from actors.journal.actor import JournalActor
from actors.journal.store import JournalStore
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.journal import JournalSettings
from protocol.command import open_command, seal_command
from protocol.messages.commands import AgentDrain, AgentStatus, EngineStop
from protocol.messages.reports import CommandAccepted, CommandResult, Event
from tests.fakes.listener import Listener
from tests.fakes.trust import AGENT, NOW_MS, key

PUBLICS = {key("command").kid: key("command").public}


def signed(number=1, command=None, ttl_ms=60_000):
    command_id = number.to_bytes(16, "big")
    envelope = seal_command(key("command"), AGENT, command_id, NOW_MS, ttl_ms, command or AgentStatus())
    return open_command(envelope, AGENT, PUBLICS)


class Bench:
    """A journal in a real tree, with an owner and a link that only listen."""

    def __init__(self, file, **settings):
        self.owner, self.link = Listener("/owner"), Listener("/link")
        self.system = System(
            SupervisorSpec(
                children=(
                    ChildSpec(
                        "journal",
                        lambda: JournalActor(
                            file=file,
                            settings=JournalSettings(**settings),
                            routes={"agent": self.owner, "engine": self.owner},
                            link=self.link,
                            wall=time.time,
                        ),
                    ),
                )
            )
        )
        self.system.start()
        self.handle = self.system.handle("/root/journal")

    def accept(self, command, *, expired=False, offset=1):
        self.handle.tell(say.Accept(command, offset, expired, self.link))

    def outbox(self):
        return self.handle.call(say.ReadOutbox(0, 1_000))

    def close(self):
        self.system.stop()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "journal.sqlite")
    yield made
    made.close()


def test_a_command_is_on_disk_before_it_is_accepted_and_then_executed(bench, tmp_path):
    bench.accept(signed())
    accepted = bench.link.wait(say.Accepted)
    other = JournalStore.open(tmp_path / "journal.sqlite")
    assert other.command(accepted.command_id)[1] == "accepted"
    other.close()
    execute = bench.owner.wait(say.Execute)
    assert execute.command == AgentStatus()
    assert [type(row.message) for row in bench.outbox()] == [CommandAccepted]


def test_a019_the_same_command_again_has_no_second_effect_and_the_result_comes_again(bench):
    command = signed()
    bench.accept(command)
    bench.owner.wait(say.Execute)
    bench.handle.tell(say.Outcome(command.command_id, "done", None, {"n": 1}))
    bench.accept(command, offset=2)
    bench.link.wait(say.Accepted, lambda message: message.duplicate)
    results = [row.message for row in bench.outbox() if isinstance(row.message, CommandResult)]
    assert len(results) == 2
    assert results[0] == results[1]
    assert len(bench.owner.of(say.Execute)) == 1


def test_a020_the_same_id_with_other_bytes_is_refused(bench):
    bench.accept(signed())
    bench.link.wait(say.Accepted)
    bench.accept(signed(command=AgentDrain(enabled=True)), offset=2)
    refused = bench.link.wait(say.NotAccepted)
    assert (refused.code, refused.later) == ("E_DUP_CONFLICT", False)


def test_a021_an_expired_command_is_kept_and_not_executed(bench):
    bench.accept(signed(), expired=True)
    bench.link.wait(say.Accepted)
    bench.handle.call(say.ReadReceived())
    (result,) = [row.message for row in bench.outbox() if isinstance(row.message, CommandResult)]
    assert (result.state, result.error.code) == ("expired", "E_EXPIRED")
    assert not bench.owner.of(say.Execute)


def test_a083_a_full_outbox_refuses_new_commands_and_keeps_results(tmp_path):
    bench = Bench(tmp_path / "journal.sqlite", outbox_rows_max=100)
    for number in range(120):
        bench.handle.tell(say.Emit("k", "info", "s", f"{number}"))
    bench.accept(signed())
    refused = bench.link.wait(say.NotAccepted)
    assert (refused.code, refused.later) == ("E_BUSY", True)
    *events, result = [row.message for row in bench.outbox()]
    assert [event.text for event in events] == [str(number) for number in range(21, 120)], "the oldest make room"
    assert (result.state, result.error.code) == ("failed", "E_BUSY"), "the master learns it whatever happens"
    bench.accept(signed(), offset=2)
    assert bench.link.wait(say.Accepted).duplicate, "it has ended, and is not begun when it comes again"
    assert not bench.owner.of(say.Execute)
    bench.close()


def test_a_command_that_nobody_owns_fails_with_words(bench):
    bench.accept(signed(command=EngineStop(name="x", generation=1)))
    bench.owner.wait(say.Execute)
    from protocol.messages.commands import ModelGc

    bench.accept(signed(2, ModelGc()), offset=2)
    bench.link.wait(say.Accepted, lambda message: message.command_id == signed(2, ModelGc()).command_id)
    bench.handle.call(say.ReadReceived())
    (result,) = [row.message for row in bench.outbox() if isinstance(row.message, CommandResult)]
    assert result.error.code == "E_UNSUPPORTED"


def test_events_are_kept_for_people_and_for_the_master(bench):
    bench.handle.tell(say.Emit("engine.died", "error", "engine/chat", "exit 137", {"n": 1}))
    (event,) = bench.handle.call(say.RecentEvents(10))
    assert isinstance(event, Event)
    assert (event.kind, event.text, event.fields) == ("engine.died", "exit 137", {"n": 1})
    assert [row.message for row in bench.outbox()] == [event]
    bench.handle.tell(say.Acknowledged(bench.outbox()[-1].offset))
    assert bench.outbox() == ()
    assert bench.handle.call(say.RecentEvents(10)) == (event,)


def test_unfinished_commands_come_again_after_a_restart(tmp_path):
    first = Bench(tmp_path / "journal.sqlite")
    for number in (1, 2, 3):
        first.accept(signed(number), offset=number)
    first.link.wait(say.Accepted, lambda message: message.offset == 3)
    first.handle.tell(say.Running(signed(2).command_id))
    first.handle.tell(say.Outcome(signed(3).command_id, "done"))
    first.handle.call(say.ReadReceived())  # a stop overtakes what waits; an answer shows that it is on disk
    first.close()
    second = Bench(tmp_path / "journal.sqlite")
    second.owner.wait(say.Execute, lambda message: message.command_id == signed(2).command_id)
    assert [message.command_id for message in second.owner.of(say.Execute)] == [signed(n).command_id for n in (1, 2)]
    assert second.handle.call(say.ReadReceived()) == 3
    second.close()


def test_many_writes_are_few_commits_and_all_of_them_are_there(bench):
    for number in range(500):
        bench.handle.tell(say.PutState(f"k{number}", b"v"))
    assert bench.handle.call(say.GetState("k499")) == b"v"


def test_a085_a_damaged_file_is_set_aside_with_an_event(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"not a database" * 1_000)
    bench = Bench(tmp_path / "journal.sqlite")
    (event,) = bench.handle.call(say.RecentEvents(10))
    assert event.kind == "journal.damaged"
    assert list(tmp_path.glob("journal.sqlite.damaged-*"))
    bench.close()


WRITER = """
import os, sys
from tests.actors.journal.test_actor import Bench, signed, say
bench = Bench(sys.argv[1])
number = 0
while True:
    number += 1
    bench.accept(signed(number), offset=number)
    bench.link.wait(say.Accepted, lambda message: message.offset == number)
    os.write(1, b'told %d\\n' % number)
"""


def test_a090_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    file = tmp_path / "journal.sqlite"
    root = Path(__file__).parents[3]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)],
        stdout=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONPATH": "."},
    )
    told = []
    for line in writer.stdout:
        if line.startswith(b"told"):
            told.append(int(line.split()[1]))
        if len(told) == 20:
            writer.send_signal(signal.SIGKILL)
    writer.stdout.close()
    writer.wait(10)
    assert len(told) >= 20
    store = JournalStore.open(file)
    kept = {command_id for command_id, *_ in store.open_commands()}
    store.close()
    assert {signed(number).command_id for number in told} <= kept
