"""Fifty hours of a server under faults, seed by seed; a violation prints the seed and the story that led to it."""

import pytest

from tests.simulation.world import simulate

SEEDS = range(1, 15)
HOURS = 3.0
RATE_S = 50.0
FAULTS_MIN = 2_000
HOURS_MIN = 50.0


@pytest.mark.timeout(300)
def test_nothing_is_lost_done_twice_or_stopped():
    hours, faults = 0.0, 0
    for seed in SEEDS:
        report = simulate(seed, HOURS, rate_s=RATE_S)
        assert not report.violations, "\n".join([*report.violations, *report.story])
        assert report.commands > 50
        assert report.processes > 1
        hours, faults = hours + report.hours, faults + sum(report.faults.values())
    print(f"seeds {SEEDS}: {hours:.0f} hours, {faults} faults")
    assert hours >= HOURS_MIN
    assert faults >= FAULTS_MIN


def test_the_same_seed_is_the_same_run():
    first, second = simulate(1_000, 1.0), simulate(1_000, 1.0)
    assert (first.trace, first.turns, first.faults) == (second.trace, second.turns, second.faults)
    assert first.trace != simulate(1_001, 1.0).trace


def test_a_rule_that_is_broken_is_seen(monkeypatch):
    """The checks can fail: an agent that forgets commands, and one that stops what serves, are both found out."""
    from actors.engines.manager.actor import ManagerActor
    from actors.engines.replica.actor import EngineActor

    with monkeypatch.context() as patched:
        patched.setattr(ManagerActor, "_gone", lambda self, gone: None)
        assert any(simulate(seed, 2.0).lost for seed in range(1, 6))
    with monkeypatch.context() as patched:
        adopt = EngineActor._adopt

        def replace_it(self, seen):
            if self._container is None:
                self._step("clear", self._run_end, (seen,), 0.0)
            else:
                adopt(self, seen)

        patched.setattr(EngineActor, "_adopt", replace_it)
        assert any(simulate(seed, 2.0).stopped for seed in range(1, 6))
