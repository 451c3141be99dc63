"""Fixtures of the simulated server."""

import pytest

from tests.simulation.server import Server
from tests.simulation.world import quiet


@pytest.fixture(params=range(3), ids=lambda seed: f"seed{seed}")
def server(request, tmp_path):
    """One without faults; no rule was broken when the test ends."""
    with quiet():
        made = Server(request.param, tmp_path)
        yield made
        made.close()
    assert not made.world.report.violations
