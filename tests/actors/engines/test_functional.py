"""Does it make tokens, and is it moving: pure, with times of their own."""

import pytest

from actors.engines.containers_api import Movement
from actors.engines.failures import CAUSES
from actors.engines.figures import Figures, read
from actors.engines.functional import Ask, Pulse, Rules
from actors.engines.kinds.base import Work
from actors.engines.probe import Health
from actors.engines.replica.health import HARD_FACTOR, Patience, Seen, Verdict, start_budget_s
from protocol.messages.engine_spec import Probes

RULES = Rules(stall_s=60.0, canary_s=300.0)
IDLE, BUSY = Figures(0.0, 10.0), Figures(2.0, 10.0)
MIB = 1 << 20


def test_a_page_is_read_by_names_and_summed_over_labels():
    page = '# HELP x\na{m="1",n="}"} 1\na{m="2"} 2.5 1700000000\nb 3e1\nb_total{broken\nc nan\n'
    assert read(page, Work(("a",), ("b",))) == Figures(3.5, 30.0)
    assert read(page, Work(("a",), ("absent",))) is None
    assert read(None, Work(("a",), ("b",))) is None
    assert read(page, None) is None


@pytest.mark.parametrize(
    ("figures", "still_s", "ask"),
    [
        (BUSY, 59.0, Ask.NO),
        (BUSY, 60.0, Ask.YES),
        (IDLE, 299.0, Ask.NO),
        (IDLE, 300.0, Ask.IF_IDLE),
        (None, 300.0, Ask.IF_IDLE),
    ],
)
def test_a_token_is_asked_for_when_work_stalls_or_nothing_happens(figures, still_s, ask):
    assert Pulse(100.0, figures).ask(RULES, 100.0 + still_s) is ask


def test_rules_of_zero_ask_never():
    assert Pulse(0.0, IDLE).ask(Rules(0.0, 0.0), 1e9) is Ask.NO
    assert Pulse(0.0, BUSY).ask(Rules(0.0, 0.0), 1e9) is Ask.NO


def test_two_tokens_that_do_not_come_are_a_death_and_one_is_not():
    pulse = Pulse(0.0, BUSY).seen(BUSY, Health.SILENT, 60.0)
    assert (pulse.fails, pulse.dead, pulse.ask(RULES, 61.0)) == (1, False, Ask.YES)
    assert pulse.seen(BUSY, Health.SILENT, 70.0).dead
    assert pulse.seen(BUSY, Health.READY, 70.0) == Pulse(70.0, BUSY)


def test_a_token_that_waits_behind_work_that_goes_on_is_no_failure():
    moved = Figures(2.0, 11.0)
    assert Pulse(0.0, BUSY).seen(moved, Health.SILENT, 60.0) == Pulse(60.0, moved)


def test_a_page_that_cannot_be_read_concludes_nothing():
    pulse = Pulse(0.0, BUSY)
    for now in (10.0, 20.0, 1_000.0):
        pulse = pulse.seen(None, None, now)
    assert (pulse.fails, pulse.figures) == (0, BUSY)


def test_a_load_that_moves_is_waited_for_and_one_that_stands_still_is_not():
    probes, patience, now = Probes(start_timeout_s=10.0), Patience(0.0), 0.0
    for step in range(60):
        now = float(step)
        seen = Seen(Health.LOADING, movement=Movement(step * 2 * MIB))
        verdict, patience = patience.loading(seen, probes, now, 10.0)
        assert verdict is Verdict.WAIT
    still = Seen(Health.LOADING, movement=patience.movement)
    verdict, patience = patience.loading(still, probes, now + 4.0, 10.0)
    assert verdict is Verdict.WAIT
    verdict, patience = patience.loading(still, probes, now + 6.0, 10.0)
    assert (verdict, patience.cause) == (Verdict.DEAD, CAUSES["start_timeout"])


def test_a_load_that_moves_for_ever_is_given_up_in_the_end():
    moving = Seen(Health.LOADING, movement=Movement(1 << 40))
    verdict, _ = Patience(0.0).loading(moving, Probes(), 10.0 * HARD_FACTOR + 1, 10.0)
    assert verdict is Verdict.DEAD


def test_a_large_model_has_more_time():
    probes = Probes(start_timeout_s=900.0)
    assert start_budget_s(probes, 1 << 30) == 900.0
    assert start_budget_s(probes, 140 << 30) == pytest.approx(7_168.0)
