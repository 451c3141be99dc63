"""pykka's own reference of one of our actors: what it can do, and what it refuses."""

import pykka
import pytest

from tests.actors.supervision.harness import crash


def reference(world, system, path="/root/a"):
    (found,) = [ref for ref in pykka.ActorRegistry.get_all() if ref._actor_weakref().cell.path == path]
    return found


def test_each_incarnation_is_a_pykka_actor(world):
    system = world.start(world.child("a"), world.group("g", world.child("b")))
    paths = sorted(ref._actor_weakref().cell.path for ref in pykka.ActorRegistry.get_all())
    assert paths == ["/root", "/root/a", "/root/g", "/root/g/b"]
    assert all(issubclass(ref.actor_class, pykka.ThreadingActor) for ref in pykka.ActorRegistry.get_all())
    first = reference(world, system)
    system.handle("/root/a").tell(crash)
    world.until_incarnation(system, "/root/a", 2)
    assert not first.is_alive()
    assert reference(world, system) is not first


def test_tell_and_stop_through_pykka_reach_the_actor(world):
    system = world.start(world.child("a"))
    ref = reference(world, system)
    ref.tell("hello")
    world.until(lambda: world.got == [("a", 1, "hello")], "it was delivered")
    ref.stop(block=False)
    world.until_incarnation(system, "/root/a", 2)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("too late")


def test_ask_through_pykka_is_refused(world):
    system = world.start(world.child("a"))
    with pytest.raises(pykka.ActorDeadError, match="asks go through a Handle"):
        reference(world, system).ask("anything", timeout=20.0)


def test_a_stop_of_everything_through_pykka_is_only_a_request(world):
    """`ActorRegistry.stop_all` cannot keep a supervised actor down."""
    system = world.start(world.child("a"))
    reference(world, system).stop(block=True, timeout=20.0)
    world.until_incarnation(system, "/root/a", 2)
    assert world.node(system, "/root").incarnation == 1
