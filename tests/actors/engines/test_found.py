"""Desired and observed to one action: a table."""

from dataclasses import replace

import pytest

from actors.engines.containers_api import Observed
from actors.engines.failures import CAUSES
from actors.engines.probe import Health
from actors.engines.replica.found import Adopt, Clear, Examine, Launch, decide
from actors.engines.replica.health import LOADING_PROBE_S, Patience, Seen, Verdict
from protocol.messages.engine_spec import Probes

RUNS = Observed("new", "x", "chat", 2, "", "", True, 0, False, 1, 18_000, "image")
DEAD = replace(RUNS, container_id="dead", running=False)
OLD = replace(RUNS, container_id="old", generation=1)


@pytest.mark.parametrize(
    ("found", "known", "condemned", "action"),
    [
        ((), None, None, Launch()),
        ((RUNS,), None, None, Adopt(RUNS)),
        ((RUNS,), "new", None, Adopt(RUNS)),
        ((RUNS,), None, "new", Clear((RUNS,))),
        ((OLD,), "old", None, Clear((OLD,))),
        ((OLD, RUNS), None, None, Clear((OLD,))),
        ((RUNS, replace(RUNS, container_id="twin")), None, None, Clear((replace(RUNS, container_id="twin"),))),
        ((DEAD,), None, None, Clear((DEAD,))),
        ((DEAD,), "dead", None, Examine("dead")),
        ((DEAD, RUNS), "dead", None, Clear((DEAD,))),
    ],
)
def test_what_follows_from_what_is_there(found, known, condemned, action):
    assert decide(found, 2, known, condemned) == action


def test_an_engine_that_loads_is_looked_at_less_and_less_often_and_not_for_ever():
    probes, patience = Probes(start_timeout_s=60.0), Patience(loading_since=100.0)
    waits = []
    for _ in range(60):
        verdict, patience = patience.loading(Seen(Health.LOADING), probes, 159.0, 60.0)
        assert verdict is Verdict.WAIT
        waits.append(patience.wait_s)
    assert waits == sorted(waits)
    assert waits[-1] == LOADING_PROBE_S[1]
    verdict, patience = patience.loading(Seen(Health.REFUSED), probes, 160.5, 60.0)
    assert (verdict, patience.cause) == (Verdict.DEAD, CAUSES["start_timeout"])


def test_only_so_many_bad_looks_in_a_row_end_an_engine():
    probes, patience = Probes(failures=3), Patience(0.0)
    for health in (Health.SILENT, Health.BROKEN, Health.READY, Health.SILENT, Health.REFUSED):
        verdict, patience = patience.serving(Seen(health), probes, 1.0)
        assert verdict is Verdict.READY
    verdict, patience = patience.serving(Seen(Health.SILENT), probes, 1.0)
    assert (verdict, patience.cause) == (Verdict.DEAD, CAUSES["not_healthy"])
    assert "3 times" in patience.words
