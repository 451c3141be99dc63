"""A simulated server without faults, whose only operator is a test."""

from pathlib import Path

from protocol.messages.commands import EngineStart, EngineUpdate
from tests.simulation.master import spec_of
from tests.simulation.world import World

ENGINE = "e1"
LOADED_S = 120.0
"""Longer than any model of the simulated server takes to load, and to be proven."""


class Server:
    """It runs when it is told to, so many seconds of its time."""

    def __init__(self, seed, folder, **options):
        self.world = World(seed, Path(folder) / "world", **options)
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


def states(*commands):
    """The ends of each command."""
    return [[result.state for result in one.results] for one in commands]
