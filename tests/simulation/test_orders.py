"""Commands on one engine that cross each other, in simulated time: each has one end, and the last one rules."""

from actors.supervision.signals import Probe
from protocol.messages.commands import EngineRestart, EngineStart, EngineStop, EngineUpdate
from tests.simulation.server import LOADED_S, states


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


def crash():
    raise ValueError("a fault of the actor")


def test_a_restart_that_was_done_is_not_done_again_by_an_actor_that_has_not_seen_its_container(server):
    world = server.world
    server.command(EngineStart, 1)
    server.run(LOADED_S)
    restart = server.command(EngineRestart, 1, drain_s=2.0)
    while starts(world) < 2:
        server.run(0.05)
    world.disk.full = True  # its end waits for the disk, so that the journal brings the command again
    server.run(LOADED_S)
    world.docker.fail("refuses", 60.0)
    world.process.system.services.cells["/root/engines/replicas/e1"].mailbox.signal(Probe(crash))
    server.run(10.0)
    world.disk.full = False
    server.run(LOADED_S)
    assert states(restart) == [["done"]]
    assert starts(world) == 2
    assert server.running() == [1]


def starts(world):
    return sum("container e1/1 starts" in line for line in world.story)
