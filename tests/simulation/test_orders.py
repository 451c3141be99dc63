"""Commands on one engine that cross each other, in simulated time: each has one end, and the last one rules."""

from pathlib import Path

import pytest

from protocol.messages.commands import EngineRestart, EngineStart, EngineStop, EngineUpdate
from tests.simulation.master import spec_of
from tests.simulation.world import World, quiet

ENGINE = "e1"
LOADED_S = 120.0
"""Longer than any model of the simulated server takes to load, and to be proven."""


class Server:
    """A simulated server whose only operator is the test."""

    def __init__(self, seed, folder):
        self.world = World(seed, Path(folder) / "world")
        self.world.start()
        self.run(10.0)

    def run(self, seconds):
        self.world.schedule.run_until(self.world.schedule.now + seconds)

    def command(self, kind, generation, **fields):
        if kind in {EngineStart, EngineUpdate}:
            fields["spec"] = spec_of(generation)
        return self.world.master.issue(kind(name=ENGINE, generation=generation, **fields))

    def running(self):
        return [one.generation for one in self.world.docker.running(ENGINE)]

    def close(self):
        self.world.process.bury()


@pytest.fixture(params=range(3), ids=lambda seed: f"seed{seed}")
def server(request, tmp_path):
    with quiet():
        made = Server(request.param, tmp_path)
        yield made
        made.close()
    assert not made.world.report.violations


def states(*commands):
    return [[result.state for result in one.results] for one in commands]


def test_what_is_commanded_while_a_stop_ends_an_update_is_carried_out(server):
    server.command(EngineStart, 1)
    server.run(LOADED_S)
    update = server.command(EngineUpdate, 2)
    server.run(0.5)  # it comes up beside the first one
    stop, start = server.command(EngineStop, 3, drain_s=2.0), server.command(EngineStart, 4)
    server.run(LOADED_S)
    assert states(update, stop, start) == [["cancelled"], ["done"], ["done"]]
    assert server.running() == [4]


def test_what_is_commanded_while_the_old_one_leaves_is_carried_out_after_a_restart(server):
    server.command(EngineStart, 1)
    server.run(LOADED_S)
    update = server.command(EngineUpdate, 2)
    while not update.results:
        server.run(0.05)
    restart, start = server.command(EngineRestart, 2, drain_s=2.0), server.command(EngineStart, 3)
    server.run(LOADED_S)
    assert states(update, restart, start) == [["done"], ["done"], ["done"]]
    assert server.running() == [3]
