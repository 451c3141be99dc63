"""Five hundred faults on real threads: no accepted command is lost, none is done twice, no thread is left."""

import secrets

import pytest

from tests.chaos.world import World

FAULTS = 500


@pytest.mark.timeout(180)
def test_what_was_accepted_is_done_once_whatever_breaks(tmp_path):
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    report = World(seed, tmp_path).run(FAULTS)
    assert sum(report.faults.values()) == FAULTS
    assert report.done > 100
    assert report.restarts > 50
    assert not report.lost, f"seed {seed}"
    assert not report.doubled, f"seed {seed}"
    assert report.threads_after <= report.threads_before
    assert report.exit_code == 0
