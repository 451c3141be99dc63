"""An engine's actor that was given up: its commands end, its engine serves on, and a new actor takes it over."""

import pytest

from actors.engines import messages as say
from actors.engines.manager.replicas import RETRY_S
from actors.engines.replica.actor import EngineActor
from actors.supervision.signals import Probe
from protocol.messages.commands import EngineRestart, EngineStart, EngineStop, EngineUpdate
from tests.simulation.server import LOADED_S, states

GIVEN_UP_S = 400.0
"""More than eleven crashes take, with the waits between them."""
POISON = 2


class Poison:
    """An actor crashes on every message of these types that is about this generation, or on each."""

    def __init__(self, monkeypatch):
        self.types, self.generation = (), None
        handle, poison = EngineActor.on_message, self

        def on_message(actor, message):
            if isinstance(message, poison.types) and poison.generation in {None, poison.of(message)}:
                raise ValueError("poison")
            return handle(actor, message)

        monkeypatch.setattr(EngineActor, "on_message", on_message)

    @staticmethod
    def of(message):
        return message.wanted.generation if isinstance(message, say.Become) else message.generation


@pytest.fixture
def poison(monkeypatch):
    return Poison(monkeypatch)


def crash():
    raise ValueError("a fault of the manager")


def until_given_up(server):
    end = server.world.schedule.now + GIVEN_UP_S
    while not server.world.master.events["engine.actor_gave_up"]:
        assert server.world.schedule.now < end
        server.run(1.0)


def poisoned(server, poison):
    """An engine serves, and a command gives its actor up."""
    server.command(EngineStart, 1)
    server.run(LOADED_S)
    poison.types, poison.generation = (say.Become,), POISON
    command = server.command(EngineUpdate, POISON)
    until_given_up(server)
    server.run(1.0)
    return command


def test_the_command_that_gave_it_up_fails_with_the_reason_and_the_engine_serves_on(server, poison):
    command = poisoned(server, poison)
    assert states(command) == [["failed"]]
    assert "ValueError: poison" in command.results[0].error.why
    assert server.running() == [1]


def test_a_new_actor_begins_by_itself_and_takes_over_what_runs(server, poison):
    first = poisoned(server, poison)
    poison.types = ()
    server.run(RETRY_S + LOADED_S)
    assert states(first) == [["failed"]]
    assert server.running() == [POISON]
    assert server.world.master.events["engine.actor_gave_up"] == 1


@pytest.mark.parametrize("kind", [EngineStart, EngineUpdate])
def test_the_next_command_begins_it_at_once(server, poison, kind):
    poisoned(server, poison)
    begun = server.world.schedule.now
    command = server.command(kind, 3)
    while not command.results:
        server.run(1.0)
    assert states(command) == [["done"]]
    server.run(10.0)
    assert server.running() == [3]
    events = [line for line in server.world.story if "container e1/3 starts" in line]
    assert len(events) == 1
    assert float(events[0].split()[0]) < begun + RETRY_S / 2


def test_a_stop_is_carried_out_by_the_next_one(server, poison):
    poisoned(server, poison)
    stop = server.command(EngineStop, 3, drain_s=2.0)
    server.run(RETRY_S / 2)
    assert states(stop) == [["done"]]
    assert server.running() == []


def test_a_restart_is_carried_out_by_the_next_one(server, poison):
    poisoned(server, poison)
    poison.types = ()
    restart = server.command(EngineRestart, POISON, drain_s=2.0)
    server.run(LOADED_S)
    assert states(restart) == [["done"]]
    assert server.running() == [POISON]


def test_one_that_never_gets_better_is_told_each_time_and_every_command_ends(server, poison):
    poisoned(server, poison)
    poison.generation = None
    poison.types = (object,)
    stop = server.command(EngineStop, 3, drain_s=2.0)
    server.run(3 * GIVEN_UP_S)
    assert states(stop) == [["failed"]]
    assert server.world.master.events["engine.actor_gave_up"] >= 3
    assert server.running() == [1]


def test_the_others_and_docker_are_not_concerned(server, poison):
    poisoned(server, poison)
    docker, master = server.world.docker, server.world.master
    docker.fail("refuses", 1.0)
    server.run(RETRY_S / 2)
    assert (master.events["docker.down"], master.events["docker.up"]) == (1, 1)
    assert not [line for line in server.world.story if "down /root/engines/manager" in line]


def test_a_new_manager_finds_it_given_up_and_begins_it(server, poison):
    poisoned(server, poison)
    poison.types = ()
    server.world.process.system.services.cells["/root/engines/manager"].mailbox.signal(Probe(crash))
    server.run(RETRY_S / 2)
    assert server.running() == [POISON]
    assert server.world.report.processes == 1
