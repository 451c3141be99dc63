"""Starting, and what is refused before anything starts (cases 1 to 16)."""

import dataclasses
import math

import pytest

from actors.supervision.backoff import base_delay_s, longest_s
from actors.supervision.errors import Ignore, SpecError, StartFailed
from actors.supervision.messages import (
    ChildCounts,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    StopChild,
    WhichChildren,
)
from actors.supervision.spec import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Hang,
    HangAction,
    Limit,
    LimitAction,
    MailboxSpec,
    OnRestart,
    Overflow,
    Restart,
    Strategy,
    SupervisorSpec,
)
from actors.supervision.system import System
from actors.supervision.validate import check_supervisor
from tests.actors.supervision.harness import FAST, Boom, crash, incarnation

AT_ONCE = Backoff(min_s=0.0, max_s=0.0)


def decline(actor):
    raise Ignore("not on this machine")


def test_c01_start_empty(world):
    system = world.start()
    assert system.tree().state == "running"
    system.stop()
    assert system.exit_code == 0
    assert system.tree().state == "stopped"


def test_c02_start_order(world):
    starting = []

    def alone(actor):
        starting.append(actor.name)
        assert len(starting) == 1
        world.runtime.parker().park(0.001)
        starting.clear()

    names = ["a", "b", "c", "d", "e"]
    world.start(*(world.child(name, alone) for name in names))
    assert [note for note in world.notes if note.startswith("start")] == [f"start {name}" for name in names]


def test_c03_start_failure_unwinds(world):
    names = ["a", "b", "c", "d", "e"]
    system = world.system(*(world.child(name, crash if name == "c" else None) for name in names))
    with pytest.raises(StartFailed, match="c did not start: Boom: on purpose") as failed:
        system.start()
    assert failed.value.id == "c"
    assert [note for note in world.notes if note.startswith("stop")] == ["stop b", "stop a"]
    assert "made d" not in world.notes
    assert "made e" not in world.notes


def test_c04_start_ignore_permanent(world):
    system = world.start(world.child("a"), world.child("b", decline))
    assert world.state(system, "/root/b") == "stopped"
    assert not [name for name in world.workers() if name.startswith("/root/b#")]
    assert system.handle("/root").call(CountChildren()) == ChildCounts(2, 1, 0, 2)


def test_c05_start_ignore_temporary(world):
    system = world.start(world.child("a"), world.child("b", decline, restart=Restart.TEMPORARY))
    assert [child.id for child in system.handle("/root").call(WhichChildren())] == ["a"]


def test_c06_start_ignore_dynamic(world):
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool = system.handle("/root/pool")
    assert pool.call(StartChild(world.child("x", decline))).ok
    assert pool.call(CountChildren()) == ChildCounts(0, 0, 0, 0)
    system.stop()
    assert not world.events("shutdown_error")


def test_c07_constructor_raises(world):
    made_in = []

    def broken():
        made_in.append(world.here())
        raise Boom("no such object")

    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    reply = system.handle("/root/pool").call(StartChild(ChildSpec("x", broken, backoff=FAST)))
    assert (reply.ok, reply.error) == (False, "start_failed")
    assert "no such object" in reply.detail
    assert made_in == ["/root/pool/x#1"]
    assert world.node(system, "/root/pool").incarnation == 1


def test_c08_start_timeout(world):
    gate = world.gate()
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    spec = world.child("x", lambda actor: gate.wait(), start_timeout_s=0.05)
    reply = system.handle("/root/pool").call(StartChild(spec), timeout_s=20.0)
    assert (reply.ok, reply.error) == (False, "start_failed")
    assert "start_timeout" in reply.detail
    assert system.abandoned_now == 1
    gate.open()
    world.until(lambda: system.abandoned_now == 0, "the late starter has ended")
    assert not world.events("ready", "/root/pool/x")


def test_c09_spec_defaults():
    child = ChildSpec("a", object)
    assert dataclasses.asdict(child) | {"factory": None} == {
        "id": "a",
        "factory": None,
        "restart": Restart.PERMANENT,
        "shutdown_s": None,
        "start_timeout_s": 10.0,
        "significant": False,
        "backoff": {
            "min_s": 0.2,
            "max_s": 60.0,
            "factor": 2.0,
            "jitter": 0.3,
            "reset_after_s": None,
            "immediate_first": True,
        },
        "limit": None,
        "hang": {"default_s": 60.0, "per_message": {}, "grace_s": 5.0, "action": HangAction.REPLACE},
        "mailbox": {
            "capacity": 1000,
            "overflow": Overflow.REJECT,
            "on_restart": OnRestart.KEEP,
            "stale_after_s": 30.0,
            "block_s": 1.0,
            "redeliver": False,
        },
        "critical": False,
        "abandon_now": False,
    }
    assert child.stop_limit_s == 5.0
    assert ChildSpec("s", SupervisorSpec()).stop_limit_s == math.inf
    assert child.backoff.healthy_after_s == 120.0
    assert Limit(3, 60.0).action is LimitAction.GIVE_UP
    assert dataclasses.asdict(SupervisorSpec()) == {
        "strategy": Strategy.ONE_FOR_ONE,
        "children": (),
        "intensity": 3,
        "period_s": 60.0,
        "auto_shutdown": AutoShutdown.NEVER,
        "max_children": None,
    }


BAD_CHILDREN = {
    "id": {"id": ""},
    "id with a slash": {"id": "a/b"},
    "restart": {"restart": "always"},
    "shutdown_s": {"shutdown_s": 0.0},
    "shutdown_s of a worker": {"shutdown_s": math.inf},
    "shutdown_s of a supervisor": {
        "factory": SupervisorSpec(children=(ChildSpec("x", object), ChildSpec("y", object))),
        "shutdown_s": 9.0,
    },
    "start_timeout_s": {"start_timeout_s": 0.0},
    "factory": {"factory": "a class"},
    "backoff.min_s": {"backoff": Backoff(min_s=-1.0)},
    "backoff.max_s": {"backoff": Backoff(min_s=2.0, max_s=1.0)},
    "backoff.factor": {"backoff": Backoff(factor=0.5)},
    "backoff.jitter": {"backoff": Backoff(jitter=1.5)},
    "backoff.reset_after_s": {"backoff": Backoff(reset_after_s=0.0)},
    "limit.count": {"limit": Limit(-1, 60.0)},
    "limit.period_s": {"limit": Limit(3, 0.0)},
    "hang.default_s": {"hang": Hang(0.0)},
    "hang.grace_s": {"hang": Hang(1.0, grace_s=-1.0)},
    "hang.per_message[str]": {"hang": Hang(1.0, per_message={str: 0.0})},
    "mailbox.capacity": {"mailbox": MailboxSpec(capacity=0)},
    "mailbox.block_s": {"mailbox": MailboxSpec(block_s=0.0)},
    "mailbox.stale_after_s": {"mailbox": MailboxSpec(stale_after_s=0.0)},
}


@pytest.mark.parametrize("case", BAD_CHILDREN)
def test_c10_spec_invalid(case):
    fields = {"id": "bad", "factory": object} | BAD_CHILDREN[case]
    made = []
    root = SupervisorSpec(children=(ChildSpec("good", lambda: made.append(1)), ChildSpec(**fields)))
    with pytest.raises(SpecError) as refused:
        System(root)
    assert refused.value.field == case.split(" ", 1)[0]
    assert refused.value.field in str(refused.value)
    assert not made


def test_c11_duplicate_id(world):
    with pytest.raises(SpecError, match="two children have the id 'a'"):
        System(SupervisorSpec(children=(ChildSpec("a", object), ChildSpec("a", object))))
    system = world.start(world.child("a"), world.child("b", decline))
    root = system.handle("/root")
    assert root.call(StartChild(world.child("a"))).error == "already_started"
    assert root.call(StartChild(world.child("b"))).error == "already_present"
    assert world.node(system, "/root/a").incarnation == 1


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ({"intensity": -1}, "intensity"),
        ({"period_s": 0.0}, "period_s"),
        ({"period_s": math.nan}, "period_s"),
        ({"strategy": "all_for_one"}, "strategy"),
        ({"auto_shutdown": "sometimes"}, "auto_shutdown"),
        ({"max_children": 3}, "max_children"),
        ({"strategy": Strategy.DYNAMIC, "max_children": 0}, "max_children"),
    ],
)
def test_c12_flags_invalid(flags, field):
    with pytest.raises(SpecError) as refused:
        System(SupervisorSpec(**flags))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("restart", "rule", "good"),
    [
        (Restart.PERMANENT, AutoShutdown.ANY_SIGNIFICANT, False),
        (Restart.TRANSIENT, AutoShutdown.NEVER, False),
        (Restart.TEMPORARY, AutoShutdown.NEVER, False),
        (Restart.TRANSIENT, AutoShutdown.ANY_SIGNIFICANT, True),
        (Restart.TEMPORARY, AutoShutdown.ALL_SIGNIFICANT, True),
    ],
)
def test_c13_significant_invalid(restart, rule, good):
    child = ChildSpec("a", object, restart=restart, significant=True)
    spec = SupervisorSpec(children=(child,), auto_shutdown=rule)
    if good:
        check_supervisor("/root", spec)
        return
    with pytest.raises(SpecError) as refused:
        check_supervisor("/root", spec)
    assert refused.value.field == "significant"


def test_c14_the_longest_wait_is_the_sum_of_all_and_costs_nothing():
    for backoff in (Backoff(), Backoff(immediate_first=False), Backoff(min_s=1.0, max_s=3.0, factor=1.0), AT_ONCE):
        for failures in (0, 1, 2, 33, 34, 35, 300):
            each = sum(base_delay_s(backoff, n) for n in range(1, failures + 1))
            assert longest_s(backoff, failures) == pytest.approx(each)
    assert longest_s(AT_ONCE, 10**15) == 0.0


def test_c14_unreachable_intensity():
    slow = Backoff(min_s=10.0, max_s=60.0)
    with pytest.raises(SpecError, match=r"limit of 3 failures within 30 s can never.*waits 30 s") as refused:
        check_supervisor("/root", SupervisorSpec(children=(ChildSpec("a", object, backoff=slow),), period_s=30.0))
    assert refused.value.who == "/root/a"
    check_supervisor("/root", SupervisorSpec(children=(ChildSpec("a", object, backoff=slow),), period_s=30.1))
    own = ChildSpec("a", object, backoff=slow, limit=Limit(5, 100.0))
    with pytest.raises(SpecError, match=r"limit of 5 failures within 100 s can never.*waits 130 s"):
        check_supervisor("/root", SupervisorSpec(children=(own,)))


def test_c15_start_child_error_not_stored(world):
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC), world.group("static"))
    for path in ("/root/pool", "/root/static"):
        supervisor = system.handle(path)
        assert supervisor.call(StartChild(world.child("x", crash))).error == "start_failed"
        assert supervisor.call(WhichChildren()) == ()
        assert supervisor.call(StartChild(world.child("x"))).ok


def test_c16_extra_info(world):
    system = world.start(world.group("group"))
    group = system.handle("/root/group")
    spec = world.child("x", lambda actor: {"port": 4711, "life": incarnation(actor)})
    assert group.call(StartChild(spec)).info == {"port": 4711, "life": 1}
    assert group.call(RestartChild("x")).error == "running"
    assert group.call(DeleteChild("x")).error == "running"
    assert group.call(StopChild("x")).ok
    assert group.call(RestartChild("x")).info == {"port": 4711, "life": 2}
    assert group.call(StopChild("x")).ok
    assert group.call(DeleteChild("x")).ok
    assert group.call(RestartChild("x")).error == "not_found"
