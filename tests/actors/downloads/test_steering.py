"""Transfers that are paused, resumed, cancelled and put forward: a real tree, and an origin that says what it sent."""

import random
import time

import pytest

from actors.facts import TransfersChanged
from actors.journal import messages as journal
from protocol.messages.commands import EngineStop, ModelCancel, ModelPause, ModelPriority, ModelPull
from protocol.messages.model_source import ModelSource, SourceFile
from tests.actors.downloads.faults.conftest import Bench as Files
from tests.actors.downloads.test_transfers import Bench, settings

SLOW_BYTES_S = 200_000
LARGE = random.Random(7).randbytes(9 << 20)
"""More than one block."""


class Far:
    """Nobody: the sources of these tests name no hub."""

    url = "http://127.0.0.1:9"


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "origin")
    yield made
    made.close()


def configured(tmp_path, **fields):
    return settings(Far, tmp_path, transfers_max=1, **fields)


@pytest.fixture
def bench(tmp_path):
    made = Bench(configured(tmp_path))
    yield made
    made.close()


def pull_of(origin, files, model="repo", priority=5):
    one = files.file(origin.url, body=origin.body)
    given = SourceFile(name=one.name, size_bytes=one.size_bytes, sha256=one.digest, urls=(origin.url,))
    return ModelPull(source=ModelSource(kind="manifest", uri=model, files=(given,)), priority=priority)


def await_sent(origin, count):
    until = time.monotonic() + 30
    while origin.sent < count and time.monotonic() < until:
        origin.moved.wait(0.5)
        origin.moved.clear()
    assert origin.sent >= count


def say(bench, number, command):
    bench.system.handle("/root/manager").tell(journal.Execute(f"{number:032x}", command, b""))


def ended(bench, number):
    name = f"{number:032x}"
    return bench.journal.wait(journal.Outcome, lambda one: one.command_id == name, timeout_s=30)


def shown(bench, state):
    found = bench.observer.wait(
        TransfersChanged, lambda one: any(facts.state == state for facts in one.transfers), timeout_s=30
    )
    return next(facts for facts in found.transfers if facts.state == state)


def test_a_paused_transfer_rests_and_goes_on_where_it_was(bench, files):
    origin = files.origin(rate=20 * SLOW_BYTES_S, body=LARGE)
    pull = pull_of(origin, files)
    say(bench, 101, pull)
    await_sent(origin, 6 << 20)
    assert bench.run(ModelPause(model=pull.source.model, paused=True)).data == {"transfers": 1}
    assert shown(bench, "paused").model == pull.source.model
    assert not [one for one in bench.journal.of(journal.Outcome) if one.command_id == f"{101:032x}"]
    origin.rate = 0
    bench.run(ModelPause(model=pull.source.model, paused=False))
    assert ended(bench, 101).state == "done"
    assert origin.sent < len(LARGE) + (3 << 20), "what came before the pause was not asked for again"


def test_paused_stays_paused_over_a_restart_and_a_later_pull_is_not(tmp_path, files):
    origin = files.origin()
    blocked = files.origin(rate=SLOW_BYTES_S)
    pull, first = pull_of(origin, files, "waits"), pull_of(blocked, files, "first")
    bench = Bench(configured(tmp_path))
    try:
        say(bench, 101, first)
        assert blocked.moved.wait(20)
        say(bench, 102, pull)  # it has no place yet
        bench.run(ModelPause(model=pull.source.model, paused=True))
        assert shown(bench, "paused").model == pull.source.model
    finally:
        bench.close()
    blocked.rate = 0
    bench = Bench(configured(tmp_path))
    try:
        say(bench, 102, pull)  # the journal gives again what has not ended
        say(bench, 101, first)
        assert ended(bench, 101).state == "done"
        assert shown(bench, "paused").model == pull.source.model
        assert origin.sent == 0
        say(bench, 103, ModelCancel(model=pull.source.model))
        assert ended(bench, 102).state == "cancelled"
        say(bench, 104, pull)
        assert ended(bench, 104).state == "done"
    finally:
        bench.close()


def test_a_cancelled_transfer_ends_its_commands_and_keeps_what_came(bench, files):
    origin = files.origin(rate=SLOW_BYTES_S)
    pull = pull_of(origin, files)
    say(bench, 101, pull)
    say(bench, 102, pull)
    assert origin.moved.wait(20)
    assert bench.run(ModelCancel(model=pull.source.model)).state == "done"
    for number in (101, 102):
        outcome = ended(bench, number)
        assert (outcome.state, outcome.error.code) == ("cancelled", "E_CANCELLED")
    assert any(one.kind == "model.cancelled" for one in bench.journal.of(journal.Emit))
    origin.rate = 0
    say(bench, 103, pull)
    assert ended(bench, 103).state == "done"


def test_the_more_urgent_of_those_that_wait_goes_first(bench, files):
    slow = files.origin(rate=SLOW_BYTES_S)
    say(bench, 101, pull_of(slow, files, "first"))
    assert slow.moved.wait(20)
    quick = files.origin()
    for number, name in enumerate(("early", "late"), 102):
        say(bench, number, pull_of(quick, files, name))
    late = pull_of(quick, files, "late").source.model
    assert bench.run(ModelPriority(model=late, priority=9)).state == "done"
    bench.run(ModelCancel(model=pull_of(slow, files, "first").source.model))
    assert ended(bench, 101).state == "cancelled"
    assert [ended(bench, number).state for number in (102, 103)] == ["done", "done"]
    order = [one.command_id for one in bench.journal.of(journal.Outcome) if one.data and "path" in one.data]
    assert order == [f"{number:032x}" for number in (103, 102)]


def test_what_is_not_on_its_way_cannot_be_paused(bench):
    outcome = bench.run(ModelPause(model="org/absent", paused=True))
    assert (outcome.state, outcome.error.code) == ("failed", "E_NOT_FOUND")


def test_what_no_part_of_the_agent_does_is_refused_with_what_to_do_instead(bench):
    outcome = bench.run(EngineStop(name="chat", generation=1))
    assert (outcome.state, outcome.error.code) == ("failed", "E_UNSUPPORTED")
    assert "newer version of the agent" in outcome.error.do


def running(bench, model, other_than=""):
    """Its facts, once it brings bytes under another name than that."""

    def brings(facts):
        return facts.state == "transferring" and facts.model == model and facts.transfer_id != other_than

    found = bench.observer.wait(TransfersChanged, lambda one: any(map(brings, one.transfers)), timeout_s=20)
    return next(facts for facts in found.transfers if brings(facts))


def test_what_ran_when_the_manager_crashed_is_steered_by_the_next_one(bench, files):
    """It ran under a name that the next manager does not give: it ends, and goes on under one that can be paused."""
    say(bench, 101, pull_of(files.origin(), files, "early"))
    assert ended(bench, 101).state == "done"
    origin = files.origin(rate=SLOW_BYTES_S, body=LARGE)
    pull = pull_of(origin, files)
    say(bench, 102, pull)
    first = running(bench, pull.source.model)
    say(bench, 103, None)  # a fault of ours: no command
    bench.journal.wait(journal.Again, timeout_s=20)
    say(bench, 102, pull)  # the journal gives again what has not ended
    running(bench, pull.source.model, other_than=first.transfer_id)
    assert bench.run(ModelPause(model=pull.source.model, paused=True)).data == {"transfers": 1}
    assert shown(bench, "paused").model == pull.source.model
    assert not [one for one in bench.journal.of(journal.Outcome) if one.command_id == f"{102:032x}"]
    origin.rate = 0
    bench.run(ModelPause(model=pull.source.model, paused=False))
    assert ended(bench, 102).state == "done"
