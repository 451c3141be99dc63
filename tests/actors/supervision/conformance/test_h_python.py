"""What Python and pykka add to the ways of failing (cases 83 to 95; 96 is beside it)."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref

import pykka
import pytest

from actors.supervision.errors import (
    ActorCrashed,
    ActorHung,
    ActorStopped,
    AskCycle,
    AskTimeout,
    Fenced,
    Refusal,
)
from actors.supervision.messages import RestartChild, StartChild, StopChild, TaskDone
from actors.supervision.spec import Hang, HangAction, MailboxSpec, Strategy
from actors.supervision.threads import ThreadRuntime
from config.supervision import SupervisionSettings
from tests.actors.supervision.harness import ROOMY, SETTINGS, Boom, World, crash, incarnation

QUICK = Hang(default_s=0.05, grace_s=0.05)
BASE = [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]


def refuse(actor):
    raise Refusal("no such engine")


def test_c83_crash_in_ask(world):
    system = world.start(world.child("a"))
    with pytest.raises(ActorCrashed, match="Boom: on purpose") as told:
        system.handle("/root/a").call(crash)
    assert told.value.__cause__ is None
    world.until_incarnation(system, "/root/a", 2)


def test_c84_refusal_in_ask(world):
    system = world.start(world.child("a"))
    with pytest.raises(Refusal, match="no such engine"):
        system.handle("/root/a").call(refuse)
    system.handle("/root/a").tell(refuse)
    assert system.handle("/root/a").call(incarnation) == 1
    assert not world.events("down")


@pytest.mark.parametrize("error", BASE, ids=lambda error: error.__name__)
@pytest.mark.parametrize("where", ["on_message", "on_start", "on_stop", "on_crash"])
def test_c85_base_exception_isolated(world, where, error):
    def escapes(actor):
        raise error

    second_start = {"on_start": lambda actor: escapes(actor) if incarnation(actor) == 2 else None}
    hooks = {"on_stop": {"on_stop": escapes}, "on_crash": {"on_crash": escapes}}.get(where, {})
    start = second_start.get(where)
    bystanders = [world.child(f"b{number}") for number in range(5)]
    system = world.start(world.child("a", start, **hooks), *bystanders)
    handle = system.handle("/root/a")
    if where == "on_stop":
        assert system.handle("/root").call(StopChild("a")).ok
        downs = 1
    elif where == "on_message":
        with pytest.raises(ActorCrashed, match=error.__name__):
            handle.call(escapes)
        downs = 1
    else:
        handle.tell(crash)
        downs = 2 if where == "on_start" else 1
    if where != "on_stop":
        world.until_incarnation(system, "/root/a", 1 + downs)
        assert handle.call(incarnation) == 1 + downs
    assert len(world.events("down", "/root/a")) == downs
    assert [system.handle(f"/root/b{number}").call(incarnation) for number in range(5)] == [1] * 5


def test_c86_ask_stop_race(world):
    """Asks from several threads while the actor is stopped and started: not one stays without an answer."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        system = world.start(world.child("a", mailbox=ROOMY))
        handle, root = system.handle("/root/a"), system.handle("/root")
        futures = [[] for _ in range(4)]

        def asks(mine):
            mine.extend(handle.ask(incarnation, timeout_s=120.0) for _ in range(30_000))

        threads = [threading.Thread(target=asks, args=(mine,), daemon=True) for mine in futures]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert root.call(StopChild("a"), timeout_s=30.0).ok
            assert root.call(RestartChild("a"), timeout_s=30.0).ok
        assert root.call(StopChild("a"), timeout_s=30.0).ok
    finally:
        sys.setswitchinterval(before)
    assert sum(len(mine) for mine in futures) == 120_000
    assert [future for mine in futures for future in mine if not future.done()] == []


class NoThreads(ThreadRuntime):
    """Has no thread left for the actors that are named."""

    def __init__(self):
        super().__init__(seed=1)
        self.without = set()

    def spawn(self, name, fn):
        if name.split("#")[0] in self.without:
            raise RuntimeError("can't start new thread")
        return super().spawn(name, fn)


@pytest.fixture
def runtime(request):
    return NoThreads() if "thread_start_fails" in request.node.name else ThreadRuntime(seed=7)


def test_c87_thread_start_fails(world, runtime):
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool, handle = system.handle("/root/pool"), system.handle("/root/pool/x")
    runtime.without.add("/root/pool/x")
    registered = len(pykka.ActorRegistry.get_all())
    reply = pool.call(StartChild(world.child("x")))
    assert (reply.error, reply.detail) == ("start_failed", "RuntimeError: can't start new thread")
    assert len(pykka.ActorRegistry.get_all()) == registered
    with pytest.raises(ActorStopped):
        handle.call("anybody there?")
    runtime.without.clear()
    assert pool.call(StartChild(world.child("x"))).ok
    assert handle.call(incarnation) == 2


def wedged(world, system, path="/root/a"):
    gate = world.gate()
    before = len(world.events("abandoned", path))
    answer = system.handle(path).ask(lambda actor: gate.wait(), timeout_s=60.0)
    world.until(lambda: gate.arrived, "it hangs")
    world.until(lambda: len(world.events("abandoned", path)) > before, "it was left behind")
    return gate, answer


def test_c88_wedge_replaced(world):
    system = world.start(world.child("a", hang=QUICK), world.child("b"))
    _, answer = wedged(world, system)
    with pytest.raises(ActorHung):
        answer.result()
    world.until_incarnation(system, "/root/a", 2)
    assert system.handle("/root/a").call(incarnation) == 2
    hung = world.events("hung", "/root/a")[0]
    assert "gate.wait()" in hung.detail
    assert world.node(system, "/root/b").incarnation == 1


def test_c88_cancel_hook_frees_the_actor(world):
    """One that comes back in time is not replaced."""
    system = world.start(world.child("a", hang=Hang(default_s=0.05, grace_s=60.0)))
    gate = world.gate()

    def hangs(actor):
        actor.context.on_cancel(gate.open)
        gate.wait()
        return "back"

    assert system.handle("/root/a").call(hangs, timeout_s=20.0) == "back"
    world.until(lambda: world.events("recovered", "/root/a"), "it recovered")
    assert world.node(system, "/root/a").state == "running"
    assert world.node(system, "/root/a").incarnation == 1


@pytest.mark.parametrize("action", [HangAction.REPORT, HangAction.ESCALATE])
def test_c88_other_actions(world, action):
    hang = Hang(default_s=0.05, grace_s=0.05, action=action)
    system = world.start(world.group("g", world.child("a", hang=hang)))
    gate = world.gate()
    system.handle("/root/g/a").tell(lambda actor: gate.wait())
    if action is HangAction.REPORT:
        world.until(lambda: world.events("hung", "/root/g/a"), "it is reported")
        assert world.state(system, "/root/g/a") == "running"
        gate.open()
        world.until(lambda: world.events("recovered", "/root/g/a"), "it recovered")
        assert system.abandoned_now == 0
    else:
        world.until_incarnation(system, "/root/g", 2)


def test_c89_fenced_effects_refused(world):
    refused = []

    def late(actor):
        gate.wait()
        for effect in (actor.context.effect, lambda: system.handle("/root/b").tell("late")):
            try:
                effect()
            except Fenced as error:
                refused.append(error)

    system = world.start(world.child("a", hang=QUICK), world.child("b"))
    gate = world.gate()
    system.handle("/root/a").tell(late)
    world.until_incarnation(system, "/root/a", 2)
    assert system.abandoned_now == 1
    gate.open()
    world.until(lambda: system.abandoned_now == 0, "the thread came back and ended")
    assert len(refused) == 2
    assert len(world.events("fenced_effect", "/root/a")) == 2
    assert [event.incarnation for event in world.events("returned", "/root/a")] == [1]
    assert system.handle("/root/b").call(lambda actor: actor.seen) == []
    assert len(world.events("down", "/root/a")) == 0


@pytest.mark.parametrize(("critical", "times"), [(False, 3), (True, 2)])
def test_c90_abandon_limit_exits_71(world, critical, times):
    system = world.start(world.child("a", hang=QUICK, critical=critical))
    for _ in range(times):
        assert system.exit_code is None
        wedged(world, system)
    assert system.wait_for_exit(20.0) == 71
    assert world.events("too_many_abandoned", "/root/a")
    assert not system.healthy()


def test_c90_in_total(world):
    settings = SETTINGS.model_copy(update={"abandoned_total_max": 2})
    assert isinstance(settings, SupervisionSettings)
    system = world.start(world.child("a", hang=QUICK), world.child("b", hang=QUICK), settings=settings)
    wedged(world, system, "/root/a")
    assert system.exit_code is None
    wedged(world, system, "/root/b")
    assert system.wait_for_exit(20.0) == 71


def test_c91_mutual_ask(world):
    system = world.start(world.child("a"), world.child("b"))
    a, b = system.handle("/root/a"), system.handle("/root/b")
    outcome = []

    def ask_back(actor):
        try:
            a.call(incarnation, timeout_s=30.0)
        except AskCycle as error:
            outcome.append(error)
        return "answered"

    assert a.call(lambda actor: b.call(ask_back, timeout_s=30.0), timeout_s=30.0) == "answered"
    assert "/root/b -> /root/a -> /root/b" in str(outcome[0])


def test_c91_self_ask_and_kin(world):
    def asks(path):
        def run(actor):
            with pytest.raises(AskCycle):
                system.handle(path).ask("anything")

        return run

    system = world.start(world.group("g", world.child("a")))
    handle = system.handle("/root/g/a")
    for path in ("/root/g/a", "/root/g", "/root"):
        handle.call(asks(path))


def test_c91_a_task_may_ask_its_own_actor(world):
    system = world.start(world.child("a"))
    handle = system.handle("/root/a")
    handle.call(lambda actor: actor.context.task("asks", lambda: handle.call(incarnation)) and None)
    world.until(lambda: world.got, "the task is done")
    assert world.got == [("a", 1, TaskDone(1, "asks", 1))]


def test_c92_deadline_expired(world):
    gate, executed = world.gate(), []
    system = world.start(world.child("a"))
    handle = system.handle("/root/a")
    handle.tell(lambda actor: gate.wait())
    world.until(lambda: gate.arrived, "a is busy")
    late = handle.ask(lambda actor: executed.append(1), timeout_s=0.01)
    with pytest.raises(AskTimeout, match="the work may still be done"):
        late.result()
    gate.open()
    assert handle.call(lambda actor: "next") == "next"
    assert executed == []


def test_c93_poison(world):
    system = world.start(world.child("a", mailbox=MailboxSpec(redeliver=True)))
    handle, lives = system.handle("/root/a"), []

    def poison(actor):
        lives.append(incarnation(actor))
        raise Boom("indigestible")

    handle.tell(poison)
    handle.tell("next")
    world.until(lambda: world.got, "the next one was served")
    assert lives == [1, 2]
    assert world.got == [("a", 3, "next")]
    letter = world.events("dead_letter", "/root/a")
    assert len(letter) == 1
    assert "poison" in letter[0].reason


def test_c93_an_ask_that_crashes_once_is_answered(world):
    system = world.start(world.child("a", mailbox=MailboxSpec(redeliver=True)))

    def second_time(actor):
        if incarnation(actor) == 1:
            raise Boom("not yet")
        return incarnation(actor)

    assert system.handle("/root/a").call(second_time) == 2


class Pinned:
    """Something whose end can be seen."""


@pytest.mark.parametrize("ask", [False, True])
def test_c94_no_pinning(world, ask):
    """After a crash nothing of it stays alive, although no further message comes."""
    watched = []

    def holds(actor):
        local = Pinned()
        watched.append(weakref.ref(local))
        watched.append(weakref.ref(actor))
        raise Boom(f"while holding {local}")

    class Message:
        def __call__(self, actor):
            return holds(actor)

    def send():
        message = Message()
        watched.append(weakref.ref(message))
        if ask:
            with pytest.raises(ActorCrashed):
                system.handle("/root/a").call(message)
        else:
            system.handle("/root/a").tell(message)

    system = world.start(world.child("a"))
    send()
    world.until_incarnation(system, "/root/a", 2)

    def all_dead():
        gc.collect()
        return [weak() for weak in watched] == [None, None, None]

    world.until(all_dead, "locals, message and actor are gone")


def test_c94_an_idle_actor_holds_no_message(world):
    system = world.start(world.child("a"))

    def send():
        message = Pinned()
        system.handle("/root/a").call(lambda actor, held=message: None)
        return weakref.ref(message)

    weak = send()
    world.until(lambda: gc.collect() is not None and weak() is None, "the last message is gone")


CORRELATION = contextvars.ContextVar("correlation", default="none")


def test_c95_context_and_names(world):
    CORRELATION.set("boot 17")

    def look(actor):
        thread = threading.current_thread()
        return thread.name, thread.daemon, CORRELATION.get()

    system = world.start(world.group("g", world.child("a")))
    handle = system.handle("/root/g/a")
    assert handle.call(look) == ("/root/g/a#1", True, "boot 17")
    handle.tell(crash)
    assert handle.call(look) == ("/root/g/a#2", True, "boot 17")


def test_c95_stack_size_is_set(world):
    world.start(world.child("a"))
    size = SETTINGS.stack_kib * 1024
    assert threading.stack_size(size) == size  # reading without an argument would set it back


def test_a_seeded_runtime_repeats_its_numbers():
    first, second = (World(ThreadRuntime(seed=9)).runtime.rng("/root/a#1").random() for _ in range(2))
    assert first == second
