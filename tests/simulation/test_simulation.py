"""Fifty hours of a server under faults; a violation prints the seed, the fewest faults that lead to it, their story."""

import pytest

from actors.engines.replica.actor import EngineActor
from actors.journal.actor import JournalActor
from actors.supervision.core import Core
from actors.supervision.mailbox import Mailbox
from actors.supervision.plan import Plan
from actors.supervision.roster import Roster
from tests.simulation.shrink import Shrinker, explain
from tests.simulation.world import simulate

SEEDS = range(1, 15)
HOURS = 3.0
RATE_S = 50.0
FAULTS_MIN = 2_000
HOURS_MIN = 50.0

pytestmark = pytest.mark.timeout(300)


@pytest.mark.timeout(1_200)
def test_nothing_is_lost_done_twice_or_stopped():
    hours, faults, checks = 0.0, 0, 0
    for seed in SEEDS:
        report = simulate(seed, HOURS, rate_s=RATE_S)
        assert not report.violations, explain(report, HOURS, rate_s=RATE_S)
        assert report.commands > 50
        assert report.processes > 1
        assert report.published > 1
        hours, faults, checks = hours + report.hours, faults + len(report.struck), checks + report.checks
    print(f"seeds {SEEDS}: {hours:.0f} hours, {faults} faults, {checks} checks of a supervisor")
    assert hours >= HOURS_MIN
    assert faults >= FAULTS_MIN
    assert checks > faults


def test_the_same_seed_is_the_same_run():
    first, second = simulate(1_000, 1.0), simulate(1_000, 1.0)
    assert (first.trace, first.turns, first.struck) == (second.trace, second.turns, second.struck)
    assert first.trace != simulate(1_001, 1.0).trace


def test_a_run_with_fewer_faults_does_the_others_as_before():
    whole = simulate(1_000, 0.5)
    kept = frozenset(one.number for one in whole.struck[::3])
    part = simulate(1_000, 0.5, only=kept)
    assert [one.number for one in part.struck] == sorted(kept)
    assert simulate(1_000, 0.5, only=frozenset()).struck == []


# -- the checks can fail ---------------------------------------------------------------------------------------


def _stops_what_serves(monkeypatch):
    """An agent that replaces the container that it finds."""
    adopt = EngineActor._adopt

    def replace_it(self, seen):
        if self._container is None:
            self._step("clear", self._run_end, (seen,), 0.0)
        else:
            adopt(self, seen)

    monkeypatch.setattr(EngineActor, "_adopt", replace_it)


@pytest.mark.timeout(600)
def test_a_violation_shrinks_to_the_fewest_faults(monkeypatch):
    _stops_what_serves(monkeypatch)
    report = simulate(1, 2.0)
    assert report.kinds >= {"stopped"}
    found = Shrinker(1, 2.0).smallest(report)
    assert found.report.stopped
    assert len(found.numbers) <= 2 < found.of
    assert "--only" in str(found)


def test_an_agent_that_forgets_a_command_is_seen(monkeypatch):
    kept = JournalActor._outcome
    calls = []

    def forgets_some(self, outcome):
        calls.append(outcome)
        if len(calls) % 7:
            kept(self, outcome)

    monkeypatch.setattr(JournalActor, "_outcome", forgets_some)
    assert simulate(1, 1.0).lost


def test_a_supervision_that_forgets_a_timer_is_seen(monkeypatch):
    waits = Roster.wait

    def forgets(self, child, delay):
        waits(self, child, delay)
        self._out.pop()

    monkeypatch.setattr(Roster, "wait", forgets)
    assert any("I10" in text for text in simulate(1, 1.0).wrong)


def _restarts_whatever_ends(monkeypatch):
    monkeypatch.setattr(Core, "_exited", Core._fail)


def _stops_the_first_one_first(monkeypatch):
    monkeypatch.setattr(Plan, "last_to_stop", lambda plan, order: next(name for name in order if name in plan.to_stop))


def _loses_a_message(monkeypatch):
    get, calls = Mailbox.get, []

    def loses_some(mailbox, consumer):
        calls.append(mailbox)
        item = get(mailbox, consumer)
        return item if len(calls) % 500 else get(mailbox, consumer)

    monkeypatch.setattr(Mailbox, "get", loses_some)


def _gives_a_message_twice(monkeypatch):
    get, last = Mailbox.get, {}

    def repeats_some(mailbox, consumer):
        last[None] = last.get(None, 0) + 1
        if last[None] % 500 == 0 and mailbox in last:
            return last[mailbox]
        last[mailbox] = item = get(mailbox, consumer)
        return item

    monkeypatch.setattr(Mailbox, "get", repeats_some)


@pytest.mark.parametrize(
    ("rule", "breaks"),
    [
        ("I9", _restarts_whatever_ends),
        ("I5", _stops_the_first_one_first),
        ("I15", _loses_a_message),
        ("I15", _gives_a_message_twice),
    ],
)
def test_a_supervision_that_breaks_a_rule_is_seen(monkeypatch, rule, breaks):
    breaks(monkeypatch)
    report = simulate(1, 1.0, until={"wrong"})
    assert any(rule in text for text in report.wrong), report.wrong
