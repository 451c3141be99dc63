"""The sampler and the alerts on GPUs that hang, fail and fall off the bus, in simulated time, beside engines."""

import pytest

from actors.metrics.gpu_watch import HUNG_S
from protocol.messages.commands import EngineStart
from tests.simulation.gpus import GPUS
from tests.simulation.server import LOADED_S, Server
from tests.simulation.world import quiet, simulate

pytestmark = pytest.mark.timeout(300)
SEEN_S = HUNG_S + 30.0
HEALED_S = 300.0


@pytest.fixture
def server(tmp_path):
    with quiet():
        made = Server(1, tmp_path, sampler=True)
        made.command(EngineStart, 1)
        made.run(LOADED_S)
        yield made
        made.close()
    assert not made.world.report.violations


def incarnations(server):
    return {path: cell.number for path, cell in server.world.process.system.services.cells.items()}


def told(server, rule):
    """How often it was firing, and how often resolved."""
    events = server.world.master.events
    return events[f"{rule} firing"], events[f"{rule} resolved"]


def test_a_driver_that_hangs_is_an_alert_and_hangs_nobody_else(server):
    before = incarnations(server)
    server.world.driver.hangs = True
    server.run(SEEN_S)
    assert told(server, "gpu_driver_hung") == (1, 0)
    server.run(HEALED_S)
    server.world.driver.hangs = False
    server.run(HEALED_S)
    assert told(server, "gpu_driver_hung") == (1, 1)
    assert incarnations(server) == before
    assert server.running() == [1]


def test_a_lost_gpu_is_an_alert_until_it_is_back(server):
    server.world.driver.lost.add(GPUS[2])
    server.run(SEEN_S)
    assert told(server, "gpu_lost") == (1, 0)
    server.world.driver.lost.clear()
    server.run(HEALED_S)
    assert told(server, "gpu_lost") == (1, 1)
    assert server.running() == [1]


@pytest.mark.parametrize("seed", range(3))
def test_under_every_fault_the_server_keeps_its_rules(seed):
    report = simulate(seed, 1.0, sampler=True, rate_s=40.0)
    assert not report.violations, report.story[-200:]
    assert {"driver_hangs", "driver_away", "gpu_lost", "xid"} & {one.name for one in report.struck}
