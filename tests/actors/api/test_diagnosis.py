"""What the agent says of itself when its master asks."""

import pytest

from actors.api.actor import Put
from actors.api.board import Board
from actors.api.diagnosis import EVENTS_MAX, FINDINGS_MAX, TEXT_MAX_CHARS, diagnose
from actors.facts import EngineFacts, EnginesChanged, LinkChanged
from actors.journal import messages as journal
from actors.journal.words import fits, result_of
from protocol.messages.commands import AgentDiagnose
from tests.actors.api.bench import Bench
from tests.fakes.listener import Listener

COMMAND = "ab" * 16
TREE = {"path": "/root", "state": "running"}


@pytest.fixture
def told():
    return Listener("/journal")


@pytest.fixture
def bench(told):
    made = Bench(journal_handle=told)
    made.tree = TREE
    yield made
    made.close()


def asked(bench):
    bench.handle.tell(journal.Execute(COMMAND, AgentDiagnose(), b""))


def test_a_master_that_asks_gets_versions_checks_and_the_last_events(bench, told):
    bench.events = [{"kind": "engine.died", "severity": "error", "subject": "engine/chat", "text": "exit 137"}]
    bench.tell(
        Put("agent", {"version": "9.9", "label": "l"}),
        LinkChanged("connected", "https://m", "a1"),
        EnginesChanged((EngineFacts("chat", "vllm", "failed", why="no memory"),)),
    )
    asked(bench)
    assert told.wait(journal.Running).command_id == COMMAND
    outcome = told.wait(journal.Outcome)
    assert (outcome.command_id, outcome.state, outcome.error) == (COMMAND, "done", None)
    assert outcome.data["version"] == "9.9"
    bad = [row["check"] for row in outcome.rows if row["level"] == "bad"]
    assert outcome.data["bad"] == len(bad)
    assert "engine chat" in bad
    assert [row["check"] for row in outcome.rows][: len(bad)] == bad, "the bad first"
    assert outcome.rows[-1]["found"] == "engine/chat: exit 137"
    assert all(set(row) == {"check", "level", "found", "do"} for row in outcome.rows)


def test_an_examination_that_fails_is_told_and_the_page_goes_on(bench, told):
    bench.tree = {}  # what no tree looks like
    asked(bench)
    outcome = told.wait(journal.Outcome)
    assert (outcome.state, outcome.error.code) == ("failed", "E_INTERNAL")
    assert bench.get("/healthz")[0] == 200


def test_an_actor_that_was_begun_anew_asks_for_what_was_asked_of_it(bench, told):
    assert told.wait(journal.Again).family == "agent.diagnose"


def test_however_much_there_is_to_say_it_fits_into_one_message():
    board = Board()
    long = "\N{SNOWMAN}" * 5_000
    engines = tuple(EngineFacts(f"e{number}", "vllm", "failed", why=long) for number in range(500))
    board.take(EnginesChanged(engines))
    events = [{"kind": "k" * 500, "severity": "error", "subject": long, "text": long}] * 500
    made = diagnose(board, TREE, events, None)
    assert EVENTS_MAX + 10 < len(made.rows) <= FINDINGS_MAX + EVENTS_MAX + 1
    assert made.rows[-EVENTS_MAX - 1]["found"].endswith("more checks are left out")
    assert all(len(str(cell)) <= TEXT_MAX_CHARS for row in made.rows for cell in row.values())
    result = result_of(journal.Outcome(COMMAND, "done", None, made.data, made.rows))
    assert fits(result)
    assert "left_out" not in result.data
    assert len(result.rows) == len(made.rows)
