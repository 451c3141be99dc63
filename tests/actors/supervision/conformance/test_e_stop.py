"""Stopping (cases 54 to 64)."""

import pytest

from actors.supervision.errors import ActorStopped
from actors.supervision.messages import StartChild, StopChild
from actors.supervision.signals import Down, Due, Kind, Ready, Shutdown, TimerFired
from actors.supervision.spec import Backoff, Limit, Restart
from tests.actors.supervision.driver import Driver, child
from tests.actors.supervision.harness import ROOMY, crash, incarnation, leave, leave_shutdown

SLOW = Backoff(min_s=60.0, max_s=60.0, jitter=0.0, immediate_first=False)


def test_c54_stop_reverse_order(world):
    names = ["a", "b", "c", "d"]
    system = world.start(*(world.child(name) for name in names))
    system.stop()
    assert [note for note in world.notes if note.startswith("stop")] == ["stop d", "stop c", "stop b", "stop a"]


def test_c55_stop_infinity_for_supervisor(world):
    """The supervisor above waits for as long as the children below are allowed to take."""
    gate = world.gate()
    system = world.start(world.group("g", world.child("a", on_stop=lambda actor: gate.wait(), shutdown_s=20.0)))
    answer = system.handle("/root").ask(StopChild("g"), timeout_s=20.0)
    world.until(lambda: gate.arrived, "a is stopping")
    assert not answer.done()
    assert world.state(system, "/root/g") == "stopping"
    gate.open()
    assert answer.result().ok
    assert not world.events("shutdown_error")
    assert not [fired for fired in Driver(child("x")).boot().timers if fired[2].due is Due.STOP]


def test_c56_stop_timeout_abandons(world):
    gate = world.gate()
    system = world.start(
        world.child("a"), world.child("b", on_stop=lambda actor: gate.wait(), shutdown_s=0.05), world.child("c")
    )
    system.stop()
    assert world.notes[-2:] == ["stop c", "stop a"]
    assert [event.path for event in world.events("shutdown_error")] == ["/root/b"]
    assert system.abandoned_now == 1
    assert system.exit_code == 0


def test_c57_abandon_now(world):
    gate = world.gate()
    system = world.start(world.child("a", abandon_now=True))
    system.handle("/root/a").tell(lambda actor: gate.wait())
    world.until(lambda: gate.arrived, "a is busy")
    assert system.handle("/root").call(StopChild("a")).ok
    assert gate.arrived == 1
    assert "stop a" not in world.notes
    gate.open()
    world.until(lambda: system.abandoned_now == 0, "the thread has ended")
    assert "stop a" not in world.notes
    assert "crash a" not in world.notes


@pytest.mark.parametrize(
    ("how", "restart"),
    [(how, restart) for how in (leave, leave_shutdown, crash, None) for restart in Restart],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "asked"),
)
def test_c58_stop_race(world, how, restart):
    """A child that ends by itself while the supervisor stops changes nothing about the stop."""

    def ends(actor):
        if how is not None:
            system.handle("/root/a").tell(how)
        gate.open()

    gate = world.gate()
    system = world.start(world.child("a", restart=restart), world.child("b", on_stop=ends))
    system.stop()
    assert gate._open
    assert system.exit_code == 0
    assert world.state(system, "/root") == "stopped"
    assert len(world.events("down", "/root/a")) == 1
    assert not world.events("shutdown_error")
    assert not world.events("limit")
    assert [note for note in world.notes if note.startswith("made")] == ["made a", "made b"]


def test_c59_stop_during_start(world):
    gate = world.gate()
    system = world.start(world.child("a"))
    group = system.handle("/root")
    spec = world.child("x", lambda actor: gate.wait(), start_timeout_s=20.0, shutdown_s=20.0)

    started = group.ask(StartChild(spec), timeout_s=20.0)
    world.until(lambda: gate.arrived, "x is starting")
    stopped = group.ask(StopChild("x"), timeout_s=20.0)
    world.until(lambda: world.state(system, "/root/x") == "stopping", "x is to stop")
    gate.open()
    assert stopped.result().ok
    assert started.result().error == "stopped"
    assert len(world.events("down", "/root/x")) == 1
    assert not world.events("ready", "/root/x")
    assert not world.got


def test_c60_stop_twice_and_stop_dead(world):
    gate = world.gate()
    system = world.start(world.child("a", on_stop=lambda actor: gate.wait(), shutdown_s=20.0))
    root = system.handle("/root")
    first = root.ask(StopChild("a"), timeout_s=20.0)
    second = root.ask(StopChild("a"), timeout_s=20.0)
    gate.open()
    assert first.result().ok
    assert second.result().ok
    assert root.call(StopChild("a")).ok
    assert len(world.events("down", "/root/a")) == 1
    assert root.call(StopChild("nobody")).error == "not_found"
    system.stop()
    system.stop()
    assert system.exit_code == 0


def test_c61_stop_jumps_queue(world):
    gate = world.gate()
    system = world.start(world.child("a", mailbox=ROOMY, shutdown_s=20.0))
    handle = system.handle("/root/a")
    handle.tell(lambda actor: gate.wait())
    world.until(lambda: gate.arrived, "a is busy")
    for number in range(10_000):
        handle.tell(number)
    late = handle.ask("late", timeout_s=20.0)
    stopped = system.handle("/root").ask(StopChild("a"), timeout_s=20.0)
    world.until(lambda: world.state(system, "/root/a") == "stopping", "a is to stop")
    gate.open()
    assert stopped.result().ok
    assert world.got == []
    with pytest.raises(ActorStopped):
        late.result()
    with pytest.raises(ActorStopped):
        handle.tell("too late")
    assert world.events("dead_letter", "/root/a")


def test_c62_on_stop_raises(world):
    system = world.start(world.child("a", on_stop=crash))
    assert system.handle("/root").call(StopChild("a")).ok
    down = world.events("down", "/root/a")
    assert len(down) == 1
    assert down[0].reason.startswith("shutdown: ")
    assert "its hook failed: Boom: on purpose" in down[0].reason


def test_c63_no_overlap(world):
    inside, both = [], []

    def enters(actor):
        inside.append(incarnation(actor))
        both.append(len(inside))

    def slowly(actor):
        world.runtime.parker().park(0.005)
        inside.remove(incarnation(actor))

    system = world.start(world.child("a", enters, on_stop=slowly, on_crash=slowly))
    for life in range(2, 12):
        system.handle("/root/a").tell(crash if life % 2 else leave)
        world.until_incarnation(system, "/root/a", life)
    assert both == [1] * 11


@pytest.mark.parametrize("order", ["timer first", "stop first", "same moment"])
def test_c64_stop_while_backoff_fires(order):
    driver = Driver(child("a", backoff=SLOW, limit=Limit(9, 9e9)), child("b")).boot()
    driver.down("a")
    fired = TimerFired("a", Due.RESTART, driver.core.children["a"].epoch)
    if order == "timer first":
        driver.advance(60.0)
        assert driver.phase("a") == "running"
        assert driver.ask(StopChild("a")).ok
    else:
        if order == "stop first":
            driver.advance(59.0)
        assert driver.ask(StopChild("a")).ok
        driver.send(fired)
        driver.advance(1e6)
    assert driver.phase("a") == "stopped"


def test_c64_down_of_a_stopping_child_and_its_deadline():
    """Whichever comes first counts; the other one is stale."""
    for late in (TimerFired, Down):
        driver = Driver(child("a"), child("b"), obedient=False).boot()
        driver.send(Ready("a", 1))
        driver.send(Ready("b", 1))
        driver.send(Shutdown("test"))
        deadline = TimerFired("b", Due.STOP, driver.core.children["b"].epoch)
        down = Down("b", 1, Kind.SHUTDOWN)
        first, second = (down, deadline) if late is TimerFired else (deadline, down)
        driver.send(first)
        driver.send(second)
        assert driver.stopped() == ["b", "a"]
        driver.down("a", Kind.SHUTDOWN)
        assert driver.finished is not None
