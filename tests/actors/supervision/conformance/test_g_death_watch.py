"""Death watch (cases 77 to 82)."""

import pykka

from actors.supervision.messages import StartChild, StopChild, Terminated
from actors.supervision.spec import Limit, Restart, Strategy
from tests.actors.supervision.harness import Scripted, crash, leave


class Watcher(Scripted):
    """Keeps the notices that it gets."""

    def on_message(self, message):
        if isinstance(message, Terminated):
            self.world.got.append(message)
            return None
        return super().on_message(message)


class Trusting(Scripted):
    """Leaves to the base class what it does not know."""

    def on_message(self, message):
        if isinstance(message, Terminated):
            return super(Scripted, self).on_message(message)
        return super().on_message(message)


def watching(world, watcher=Watcher, **watched):
    spec = world.child("w")
    made = type(spec)("w", lambda: watcher(world, "w"), backoff=spec.backoff)
    return world.start(made, world.child("a", **watched))


def watch(system, *, each=False, times=1):
    target = system.handle("/root/a")
    for _ in range(times):
        system.handle("/root/w").call(lambda actor: actor.context.watch(target, each=each))


def test_c77_watch_once(world):
    system = watching(world, restart=Restart.TEMPORARY)
    watch(system, times=3)
    system.handle("/root/a").tell(leave)
    world.until(lambda: world.got, "the notice came")
    assert system.handle("/root/w").call(lambda actor: "after it") == "after it"
    assert world.got == [Terminated("/root/a", 1, "normal", final=True)]


def test_c77_every_watcher_gets_its_own(world):
    specs = [
        type(world.child("x"))(name, lambda: Watcher(world, "w"), backoff=world.child("x").backoff) for name in "uvw"
    ]
    system = world.start(*specs, world.child("a"))
    target = system.handle("/root/a")
    for name in "uvw":
        system.handle(f"/root/{name}").call(lambda actor: actor.context.watch(target))
    assert system.handle("/root").call(StopChild("a")).ok
    world.until(lambda: len(world.got) == 3, "three notices came")


def test_c78_watch_already_dead(world):
    system = watching(world)
    assert system.handle("/root").call(StopChild("a")).ok
    watch(system)
    world.until(lambda: world.got, "the notice came")
    assert world.got == [Terminated("/root/a", 1, "shutdown", final=True)]


def test_c78_watch_one_that_gave_up(world):
    system = watching(world, limit=Limit(0, 60.0))
    system.handle("/root/a").tell(crash)
    world.until(lambda: world.state(system, "/root/a") == "gave_up", "a gave up")
    watch(system)
    world.until(lambda: world.got, "the notice came")
    assert world.got[0].final


def test_c79_unwatch_suppresses(world):
    """Also the notice that lies in the mailbox already."""
    gate = world.gate()
    system = watching(world)
    watch(system)
    target, watcher = system.handle("/root/a"), system.handle("/root/w")

    def busy_then_unwatch(actor):
        gate.wait()
        actor.context.unwatch(target)

    watcher.tell(busy_then_unwatch)
    world.until(lambda: gate.arrived, "w is busy")
    assert system.handle("/root").call(StopChild("a")).ok
    assert world.node(system, "/root/w").mailbox_depth == 1
    gate.open()
    assert watcher.call(lambda actor: "after it") == "after it"
    assert world.got == []


def test_c80_restart_is_not_death(world):
    system = watching(world)
    watch(system)
    system.handle("/root/a").tell(crash)
    world.until_incarnation(system, "/root/a", 2)
    assert world.got == []
    assert system.handle("/root").call(StopChild("a")).ok
    world.until(lambda: world.got, "the notice came")
    assert world.got == [Terminated("/root/a", 2, "shutdown", final=True)]


def test_c80_each_death_on_request(world):
    system = watching(world)
    watch(system, each=True)
    system.handle("/root/a").tell(crash)
    world.until_incarnation(system, "/root/a", 2)
    assert system.handle("/root").call(StopChild("a")).ok
    world.until(lambda: len(world.got) == 2, "both notices came")
    assert [(notice.incarnation, notice.final) for notice in world.got] == [(1, False), (2, True)]


def test_c81_death_pact(world):
    system = watching(world, Trusting)
    watch(system)
    assert system.handle("/root").call(StopChild("a")).ok
    world.until_incarnation(system, "/root/w", 2)
    assert "DeathPact: /root/a ended" in world.events("down", "/root/w")[0].reason


def test_c82_child_that_unregisters_itself(world):
    """Its own supervisor notices its end by its Down alone, whatever the child does to pykka's registry."""

    def hide(actor):
        pykka.ActorRegistry.unregister(actor.context._incarnation.actor_ref)

    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool = system.handle("/root/pool")
    assert pool.call(StartChild(world.child("x"))).ok
    system.handle("/root/pool/x").call(hide)
    assert pool.call(StopChild("x")).ok
    assert len(world.events("down", "/root/pool/x")) == 1
