"""An engine's actor that was given up, on threads and a real Docker Engine; tests/simulation has the other cases."""

import pytest

from actors.engines import messages as say
from actors.engines.manager import replicas
from actors.engines.replica.actor import EngineActor
from actors.supervision.spec import Limit
from protocol.messages.commands import EngineStart, EngineStop, EngineUpdate
from tests.bed.processes import wait_until

pytestmark = pytest.mark.timeout(120)
POISON = 2


@pytest.fixture
def poison(monkeypatch):
    """Generations that an actor crashes on; two crashes are enough to give it up."""
    handle, generations = EngineActor.on_message, {POISON}

    def on_message(actor, message):
        if isinstance(message, say.Become) and message.wanted.generation in generations:
            raise ValueError("poison")
        return handle(actor, message)

    monkeypatch.setattr(EngineActor, "on_message", on_message)
    monkeypatch.setattr(replicas, "LIMIT", Limit(1, 600.0))
    return generations


def send(bench, kind, generation):
    spec = bench.spec(memory_bytes=128 << 20, cpus=0.5, update="stop_start")
    return bench.send(generation, kind(name="chat", generation=generation, spec=spec))


def given_up(bench):
    """An engine serves, and a command gives its actor up."""
    assert bench.result(send(bench, EngineStart, 1)).state == "done"
    failed = bench.result(send(bench, EngineUpdate, POISON))
    assert failed.state == "failed"
    assert "ValueError: poison" in failed.error.why
    wait_until(lambda: "engine.actor_gave_up" in bench.events(), timeout_s=20, what="the event of it")


def test_the_next_command_is_carried_out_by_a_new_actor(odd, poison):
    given_up(odd)
    assert "its actor was given up" in odd.facts().why
    assert [one.generation for one in odd.containers.find(odd.label) if one.running] == [1]
    assert odd.result(send(odd, EngineStart, 3)).state == "done"
    assert [one.generation for one in odd.containers.find(odd.label) if one.running] == [3]
    assert odd.result(odd.send(4, EngineStop(name="chat", generation=4, drain_s=0.0))).state == "done"
    assert not odd.containers.find(odd.label)


def test_a_new_actor_begins_by_itself(odd, poison, monkeypatch):
    monkeypatch.setattr(replicas, "RETRY_S", 0.5)
    given_up(odd)
    poison.clear()
    wait_until(
        lambda: [one.generation for one in odd.containers.find(odd.label) if one.running] == [POISON],
        timeout_s=40,
        what="a new actor takes the engine over",
    )
    assert odd.events().count("engine.actor_gave_up") == 1
