"""Whom the failure of one child touches (cases 28 to 37)."""

import sys

import pytest

from actors.supervision.messages import StartChild
from actors.supervision.signals import Down, Kind, Ready
from actors.supervision.spec import Backoff, ChildSpec, Limit, Restart, Strategy
from tests.actors.supervision.driver import NO_BACKOFF, Driver, child
from tests.actors.supervision.harness import Boom, crash, incarnation

NAMES = ("a", "b", "c", "d", "e")


def group(world, strategy, names=NAMES):
    return world.start(*(world.child(name) for name in names), strategy=strategy)


def lives(world, system, names=NAMES):
    return [world.node(system, f"/root/{name}").incarnation for name in names]


def test_c28_one_for_one(world):
    system = group(world, Strategy.ONE_FOR_ONE)
    system.handle("/root/c").tell(crash)
    world.until_incarnation(system, "/root/c", 2)
    assert lives(world, system) == [1, 1, 2, 1, 1]


def test_c29_one_for_all(world):
    system = group(world, Strategy.ONE_FOR_ALL)
    world.notes.clear()
    system.handle("/root/c").tell(crash)
    world.until_incarnation(system, "/root/e", 2)
    assert lives(world, system) == [2, 2, 2, 2, 2]
    order = [note for note in world.notes if not note.startswith("made")]
    stops = ["crash c", "stop e", "stop d", "stop b", "stop a"]
    assert order == stops + [f"start {name}" for name in NAMES]


def test_c30_rest_for_one(world):
    system = group(world, Strategy.REST_FOR_ONE)
    world.notes.clear()
    system.handle("/root/c").tell(crash)
    world.until_incarnation(system, "/root/e", 2)
    assert lives(world, system) == [1, 1, 2, 2, 2]
    order = [note for note in world.notes if not note.startswith("made")]
    assert order == ["crash c", "stop e", "stop d", "start c", "start d", "start e"]


@pytest.mark.parametrize(
    ("strategy", "first"), [(Strategy.ONE_FOR_ALL, 3), (Strategy.REST_FOR_ONE, 2)], ids=["all", "rest"]
)
def test_c31_group_other_child_fails_restart(world, strategy, first):
    """OTP's rule: the retry is a group restart for the child that failed to start."""
    starts = []

    def second_start_fails(actor):
        starts.append(incarnation(actor))
        if len(starts) == 2:
            raise Boom("not now")

    names = ("a", "b", "c")
    system = world.start(
        *(world.child(name, second_start_fails if name == "b" else None) for name in names),
        strategy=strategy,
    )
    system.handle("/root/a").tell(crash)
    world.until_incarnation(system, "/root/c", 2)
    assert lives(world, system, names) == [first, 3, 2]
    running = [name for name in world.workers() if name.startswith("/root/")]
    assert sorted(running) == [f"/root/a#{first}", "/root/b#3", "/root/c#2"]


def test_c32_group_counts_once():
    driver = Driver(*(child(name) for name in NAMES), strategy=Strategy.ONE_FOR_ALL).boot()
    driver.down("c")
    assert driver.incarnations() == dict.fromkeys(NAMES, 2)
    assert len(driver.core.window.times) == 1


def test_c33_second_crash_during_group_stop():
    driver = Driver(*(child(name) for name in "abc"), strategy=Strategy.ONE_FOR_ALL, obedient=False).boot()
    for name in "abc":
        driver.send(Ready(name, 1))
    driver.down("a")
    assert driver.stopped() == ["c"]
    driver.down("b", Kind.CRASH)
    driver.down("c", Kind.CRASH)
    assert len(driver.core.window.times) == 1
    for name in "abc":
        driver.send(Ready(name, 2))
    assert driver.incarnations() == dict.fromkeys("abc", 2)
    assert {driver.phase(name) for name in "abc"} == {"running"}


def test_c34_dynamic_many_work_per_child_is_flat():
    """Counts Python calls instead of time: the last quarter of 1,000 must not need twice the work of the first."""
    driver = Driver(strategy=Strategy.DYNAMIC).boot()
    calls = [0]

    def count(frame, event, argument):
        calls[0] += 1

    def work(steps):
        calls[0] = 0
        sys.setprofile(count)
        try:
            for step in steps:
                step()
        finally:
            sys.setprofile(None)
        return calls[0]

    def start(number):
        return lambda: driver.ask(StartChild(child(f"n{number}")))

    driver.reply = lambda asker: None  # looking for a reply among all effects is the driver's own work
    quarters = [work([start(number) for number in range(first, first + 250)]) for first in range(0, 1000, 250)]
    assert len(driver.core.children) == 1000
    assert quarters[3] < 2 * quarters[0]
    assert driver.shutdown()
    assert driver.finished is not None
    assert not driver.core.children


def test_c34_dynamic_many_real(world):
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool = system.handle("/root/pool")
    answers = [pool.ask(StartChild(world.child(f"n{number}")), timeout_s=60.0) for number in range(300)]
    assert all(answer.result().ok for answer in answers)
    assert {system.handle(f"/root/pool/n{number}").call(incarnation) for number in range(300)} == {1}
    system.stop()
    assert len([note for note in world.notes if note.startswith("stop")]) == 300


def test_c35_dynamic_parallel_stop(world):
    """Every on_stop waits until all of them are inside: only stopping in parallel can end."""
    everybody, inside = world.gate(), []

    def wait_for_all(actor):
        inside.append(actor.name)
        if len(inside) == 100:
            everybody.open()
        everybody.wait()
        assert len(inside) == 100

    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool = system.handle("/root/pool")
    for number in range(100):
        spec = world.child(f"n{number}", on_stop=wait_for_all, shutdown_s=20.0)
        assert pool.call(StartChild(spec)).ok
    system.stop()
    assert len(inside) == 100
    assert not world.events("shutdown_error")


def test_c36_max_children():
    driver = Driver(strategy=Strategy.DYNAMIC, max_children=2).boot()
    slow = Backoff(min_s=5.0, immediate_first=False)
    assert driver.ask(StartChild(child("a", backoff=slow))).ok
    assert driver.ask(StartChild(child("b", backoff=NO_BACKOFF))).ok
    assert driver.ask(StartChild(child("c", backoff=NO_BACKOFF))).error == "max_children"
    driver.down("a")
    assert driver.phase("a") == "backoff"
    assert driver.ask(StartChild(child("c", backoff=NO_BACKOFF))).error == "max_children"
    driver.down("b", Kind.SHUTDOWN)
    driver.settle()
    assert driver.phase("b") == "running"


def test_c36_a_child_that_left_makes_room():
    driver = Driver(strategy=Strategy.DYNAMIC, max_children=1).boot()
    assert driver.ask(StartChild(child("a", restart=Restart.TEMPORARY))).ok
    driver.send(Down("a", 1, Kind.NORMAL))
    assert driver.ask(StartChild(child("b", limit=Limit(1, 60.0)))).ok


def test_c37_dynamic_args_survive_restart(world):
    argument = object()
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    spec = world.child("x", lambda actor: setattr(actor, "argument", argument))
    assert isinstance(spec, ChildSpec)
    assert system.handle("/root/pool").call(StartChild(spec)).ok
    handle = system.handle("/root/pool/x")
    handle.tell(crash)
    world.until_incarnation(system, "/root/pool/x", 2)
    assert handle.call(lambda actor: actor.argument) is argument
