"""What an actor may use: timers, tasks, its own end; and the stand-in for tests offers the same."""

import inspect

import pytest

from actors.supervision.actor import Actor
from actors.supervision.context import Context
from actors.supervision.errors import Fenced
from actors.supervision.handle import Handle
from actors.supervision.messages import StopChild, TaskDone, TaskFailed
from tests.actors.supervision.harness import SETTINGS, Boom, crash
from tests.fakes.context import FakeContext, FakeHandle


def test_timers_come_in_order_and_can_be_cancelled(world):
    system = world.start(world.child("a"))

    def arms(actor):
        actor.context.after(0.02, "second")
        actor.context.after(0.001, "first")
        actor.context.after(0.01, "never").cancel()

    system.handle("/root/a").tell(arms)
    world.until(lambda: len(world.got) == 2, "two timers fired")
    assert [message for _, _, message in world.got] == ["first", "second"]
    assert system.handle("/root/a").call(lambda actor: len(actor.seen)) == 2


def test_a_timer_of_an_earlier_incarnation_is_dropped(world):
    gate = world.gate()
    system = world.start(world.child("a"))
    handle = system.handle("/root/a")

    def arms_and_crashes(actor):
        actor.context.after(0.0, "stale")
        world.until(lambda: world.node(system, "/root/a").mailbox_depth, "the timer has fired")
        gate.open()
        crash(actor)

    handle.tell(arms_and_crashes)
    gate.wait()
    world.until_incarnation(system, "/root/a", 2)
    assert handle.call(lambda actor: "after it") == "after it"
    assert world.got == []


def test_the_outcome_of_a_task_is_a_message(world):
    system = world.start(world.child("a"))

    def fails():
        raise Boom("in a task")

    def starts(actor):
        actor.context.task("works", lambda value: value + 1, 41)
        actor.context.task("fails", fails)

    system.handle("/root/a").tell(starts)
    world.until(lambda: len(world.got) == 2, "both have ended")
    outcomes = {message.name: message for _, _, message in world.got}
    assert outcomes["works"] == TaskDone(1, "works", 42)
    failed = outcomes["fails"]
    assert isinstance(failed, TaskFailed)
    assert (failed.task_id, failed.kind, failed.error) == (2, "Boom", "Boom: in a task")
    assert "in fails" in failed.traceback


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_tasks_are_cancelled_and_joined_at_the_end(world, end):
    gate, ended = world.gate(), []
    system = world.start(world.child("a", shutdown_s=20.0))
    handle = system.handle("/root/a")

    def works():
        gate.wait()
        ended.append("task")

    def starts(actor):
        actor.context.task("waits", works, cancel=gate.open)

    handle.call(starts)
    world.until(lambda: gate.arrived, "the task works")
    if end == "stop":
        assert system.handle("/root").call(StopChild("a"), timeout_s=20.0).ok
    else:
        handle.tell(crash)
        world.until_incarnation(system, "/root/a", 2)
    assert ended == ["task"]
    assert not world.events("task_left_behind")
    assert world.got == []


def test_a_task_that_does_not_return_is_left_behind_by_name(world):

    gate = world.gate()
    system = world.start(world.child("a"), settings=SETTINGS.model_copy(update={"task_join_s": 0.01}))
    system.handle("/root/a").call(lambda actor: actor.context.task("deaf", gate.wait) and None)
    world.until(lambda: gate.arrived, "the task works")
    assert system.handle("/root").call(StopChild("a")).ok
    assert [event.reason for event in world.events("task_left_behind", "/root/a")] == ["deaf"]


def test_nobody_waits_for_a_task_that_lingers_nor_speaks_of_it(world):
    gate, told = world.gate(), []
    system = world.start(world.child("a"), settings=SETTINGS.model_copy(update={"task_join_s": 0.01}))

    def starts(actor):
        actor.context.task("lingers", gate.wait, cancel=lambda: told.append(1), lingers=True)

    system.handle("/root/a").call(starts)
    world.until(lambda: gate.arrived, "the task works")
    assert system.handle("/root").call(StopChild("a")).ok
    assert told == [1]
    assert not world.events("task_left_behind")
    gate.open()
    assert world.got == []


def public(cls):
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def test_the_stand_ins_have_the_interface_of_the_real_ones():
    fake, fake_handle = public(FakeContext), public(FakeHandle)
    for name, parameters in public(Context).items():
        assert fake[name] == parameters, name
    for name, parameters in public(Handle).items():
        assert fake_handle[name] == parameters, name
    assert {"path", "incarnation", "handle", "rng"} <= set(vars(FakeContext()))


class Counts(Actor):
    def __init__(self):
        self.seen = []

    def on_message(self, message):
        self.seen.append((self.context.now(), message))
        if message == "go":
            self.context.after(5.0, "later")
            self.context.after(1.0, "soon")
            self.context.task("work", lambda: 7)


def test_the_stand_in_drives_an_actor_without_threads():
    actor = Counts()
    context = FakeContext(actor)
    actor.on_message("go")
    assert context.advance(2.0) == ["soon"]
    assert context.run_tasks() == [TaskDone(1, "work", 7)]
    assert context.advance(10.0) == ["later"]
    assert [message for _, message in actor.seen] == ["go", "soon", TaskDone(1, "work", 7), "later"]
    assert [at - 1000.0 for at, _ in actor.seen] == [0.0, 1.0, 2.0, 5.0]
    context.fenced = True
    with pytest.raises(Fenced):
        context.effect()


def test_superseded_timers_do_not_pile_up(world):
    """A child that restarts for ever leaves no heap of deadlines behind."""
    system = world.start(world.child("a"), intensity=10**6, period_s=1e9)
    for life in range(2, 402):
        system.handle("/root/a").tell(crash)
        world.until_incarnation(system, "/root/a", life)
    timers = system.services.timers
    assert len(timers) <= 2
    assert len(timers._heap) <= 300
