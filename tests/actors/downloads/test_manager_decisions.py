"""What the manager decides, without an actor: steering, turns, what is told of an end."""

from dataclasses import replace

import pytest

from actors.downloads.manager import telling
from actors.downloads.manager.checking import Check
from actors.downloads.manager.steering import Next, follows, rests, steered
from actors.downloads.manager.turns import Turns
from actors.downloads.manager.wishes import Wish
from actors.downloads.manager.words import cancelled
from actors.facts import TransferFacts
from actors.journal.messages import Emit, Outcome
from protocol.messages.commands import ModelCancel, ModelPause, ModelPriority
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure

FACTS = TransferFacts("t", "org/repo", "main", "transferring", 1, 2)
WISH = Wish("w", ModelSource(uri="hf://org/repo"), 5, 1, FACTS, ("one", "two"))
RUNS = replace(WISH, transfer_id="w-1")
STOPPED, BROKEN = cancelled("hf://org/repo"), Failure(code="E_NETWORK", what="broke", why="cut")


@pytest.mark.parametrize(
    ("wish", "command", "expected"),
    [
        (RUNS, ModelPause(model="org/repo", paused=True), Next.STOP),
        (RUNS, ModelPause(model="org/repo", paused=False), Next.GO_ON),
        (RUNS, ModelCancel(model="org/repo"), Next.STOP),
        (RUNS, ModelPriority(model="org/repo", priority=9), Next.GO_ON),
        (WISH, ModelPause(model="org/repo", paused=True), Next.REST),
        (WISH, ModelCancel(model="org/repo"), Next.OVER),
        (WISH, ModelPriority(model="org/repo", priority=9), Next.REST),
        (replace(RUNS, paused=True), ModelPriority(model="org/repo", priority=9), Next.STOP),
    ],
)
def test_what_a_word_leads_to(wish, command, expected):
    after = steered(wish, command)
    assert follows(after) is expected
    assert after.said is not isinstance(command, ModelCancel), "a cancellation is over at once, and not kept"


def test_an_actor_that_was_ended_rests_unless_its_wish_was_cancelled():
    assert rests(RUNS, STOPPED)
    assert not rests(replace(RUNS, cancelled=True), STOPPED)
    assert not rests(RUNS, BROKEN)
    assert not rests(RUNS, None)


@pytest.mark.parametrize(
    ("wish", "failure", "state", "kind"),
    [
        (RUNS, None, "done", "model.done"),
        (RUNS, BROKEN, "failed", "model.failed"),
        (replace(RUNS, cancelled=True), STOPPED, "cancelled", "model.cancelled"),
        (replace(RUNS, cancelled=True), BROKEN, "failed", "model.failed"),
        (replace(RUNS, cancelled=True), None, "done", "model.done"),
    ],
)
def test_every_command_hears_of_the_end_and_the_event_is_told_once(wish, failure, state, kind):
    said = list(telling.over(wish, failure, {"size_bytes": 7}))
    outcomes = [one for one in said if isinstance(one, Outcome)]
    assert [(one.command_id, one.state) for one in outcomes] == [("one", state), ("two", state)]
    assert [(one.kind, one.fields) for one in said if isinstance(one, Emit)] == [(kind, {"command_id": "one"})]


def test_verifications_take_turns_and_a_command_that_comes_again_waits_once():
    turns = Turns()
    first, second = Check("a", ()), Check("b", ())
    for check in (first, second, first, second, Check(None, ())):
        turns.add(check)
    assert (turns.begin(), turns.begin()) == (first, None)
    assert (turns.end(), turns.begin()) == (first, second)
    assert turns.end() is second
    assert turns.begin() == Check(None, ())
    assert (turns.end(), turns.begin()) == (Check(None, ()), None)
