"""Escalation, auto_shutdown and the tree (cases 65 to 76)."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actors.supervision.messages import (
    ChildCounts,
    CountChildren,
    GetSpec,
    ReplaceSpecs,
    StartChild,
    StopChild,
    WhichChildren,
)
from actors.supervision.requests import counts, facts
from actors.supervision.signals import Down, Kind, Ready
from actors.supervision.spec import AutoShutdown, Backoff, ChildSpec, Limit, Restart, Strategy
from tests.actors.supervision.driver import NO_BACKOFF, Driver, child
from tests.actors.supervision.harness import crash, incarnation

TOP = Path(__file__).parents[4]


def test_c65_escalates_to_parent(world):
    system = world.start(world.group("g", world.child("a"), world.child("b"), of={"intensity": 0}), world.child("z"))
    system.handle("/root/g/a").tell(crash)
    world.until_incarnation(system, "/root/g", 2)
    world.until_incarnation(system, "/root/g/b", 2)
    assert world.node(system, "/root/g/a").incarnation == 2
    assert world.node(system, "/root/z").incarnation == 1
    assert world.node(system, "/root").restarts_in_window == 1
    down = world.events("down", "/root/g")[0]
    assert down.reason.startswith("shutdown: a: more than 0 failures")


def test_c66_transient_subtree_not_restarted(world):
    system = world.start(world.group("g", world.child("a"), of={"intensity": 0}, restart=Restart.TRANSIENT))
    system.handle("/root/g/a").tell(crash)
    world.until(lambda: world.state(system, "/root/g") == "stopped", "g stays down")
    assert world.node(system, "/root/g").incarnation == 1


ESCALATES = """
    import threading
    from actors.supervision.actor import Actor
    from actors.supervision.spec import ChildSpec, SupervisorSpec
    from actors.supervision.stacks import exit_process
    from actors.supervision.system import System

    class Fails(Actor):
        def on_message(self, message):
            raise ValueError(message)

    class Wedges(Actor):
        def on_message(self, message):
            inside.set()
            threading.Event().wait()

    inside = threading.Event()
    wedged = ChildSpec("wedged", Wedges, shutdown_s=0.1)
    system = System(SupervisorSpec(children=(ChildSpec("a", Fails), wedged), intensity=0))
    system.start()
    system.handle("/root/wedged").tell("for ever")
    inside.wait()
    system.handle("/root/a").tell("unbearable")
    exit_process(system.wait_for_exit(), system.exit_cause)
"""


def test_c67_root_limit_exits_70():
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ESCALATES)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 70, ended.stderr
    assert "unbearable" in ended.stderr
    assert "-- /root/wedged#1" in ended.stderr


def significant(name, restart=Restart.TRANSIENT):
    return child(name, significant=True, restart=restart)


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
def test_c68_any_significant(restart):
    driver = Driver(
        significant("a", restart), significant("b"), child("c"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT
    ).boot()
    driver.down("c")
    assert driver.finished is None
    driver.down("a", Kind.NORMAL)
    assert driver.finished.kind is Kind.SHUTDOWN
    assert driver.stopped() == ["c", "b"]


def test_c68_a_restarted_significant_child_does_not_fire():
    driver = Driver(significant("a"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT).boot()
    driver.down("a", Kind.CRASH)
    assert driver.finished is None
    temporary = Driver(significant("a", Restart.TEMPORARY), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT).boot()
    temporary.down("a", Kind.CRASH)
    assert temporary.finished is not None


def test_c69_all_significant():
    driver = Driver(significant("a"), significant("b"), child("c"), auto_shutdown=AutoShutdown.ALL_SIGNIFICANT).boot()
    driver.down("a", Kind.NORMAL)
    assert driver.finished is None
    driver.down("b", Kind.NORMAL)
    assert driver.finished is not None


def test_c70_significant_bystander():
    """What the supervisor or an operator stops did not end by itself."""
    driver = Driver(
        child("a"),
        significant("b", Restart.TEMPORARY),
        significant("c"),
        strategy=Strategy.ONE_FOR_ALL,
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    ).boot()
    driver.down("a")
    assert driver.finished is None
    assert driver.incarnations() == {"a": 2, "c": 2}
    assert driver.ask(StopChild("c")).ok
    assert driver.finished is None


def test_c71_significant_escalation(world):
    rule = {"auto_shutdown": AutoShutdown.ANY_SIGNIFICANT}
    inner = world.group(
        "inner",
        world.child("a", restart=Restart.TRANSIENT, significant=True),
        of=rule,
        restart=Restart.TRANSIENT,
        significant=True,
    )
    outer = world.group("outer", inner, of=rule, restart=Restart.TRANSIENT)
    system = world.start(outer, world.child("z"))
    system.handle("/root/outer/inner/a").tell(lambda actor: actor.context.stop())
    world.until(lambda: world.state(system, "/root/outer") == "stopped", "the chain has ended")
    assert world.state(system, "/root/z") == "running"


def test_c72_tree(world):
    system = world.start(world.group("g", world.child("a"), world.child("b")), world.child("z"))
    system.handle("/root/g/a").tell(crash)
    world.until_incarnation(system, "/root/g/a", 2)
    lives = {path: world.node(system, path).incarnation for path in ("/root/g", "/root/g/b", "/root/z", "/root")}
    assert set(lives.values()) == {1}


def test_c73_supervisor_bug(world):
    system = world.start(world.group("g", world.child("a"), world.group("h", world.child("b"))), world.child("z"))
    core = system.services.supervisors["/root/g"]
    core.handle = lambda event, now: 1 / 0
    system.handle("/root/g").tell(StopChild("a"))
    world.until_incarnation(system, "/root/g", 2)
    world.until_incarnation(system, "/root/g/h/b", 2)
    assert "ZeroDivisionError" in world.events("down", "/root/g")[0].reason
    assert world.notes.index("stop b") < world.notes.index("stop a")
    assert world.notes.count("made a") == 2
    assert world.notes.index("stop a") < len(world.notes) - 1 - world.notes[::-1].index("made a")
    world.until(
        lambda: (
            [name for name in world.workers() if name.startswith("/root/g")]
            == ["/root/g#2", "/root/g/a#2", "/root/g/h#2", "/root/g/h/b#2"]
        ),
        "no orphan is left",
    )
    assert system.handle("/root/g/a").call(incarnation) == 2
    assert world.node(system, "/root/z").incarnation == 1


def test_c74_unknown_message(world):
    system = world.start(world.child("a"))
    root = system.handle("/root")
    root.tell({"what": "is this"})
    assert root.call("and this") is None
    assert len(world.events("unknown_message", "/root")) == 2
    assert world.node(system, "/root").incarnation == 1


def test_c75_counts():
    slow = Backoff(min_s=5.0, immediate_first=False)
    driver = Driver(
        child("runs"), child("waits", backoff=slow), child("stopped"), child("gave_up", limit=Limit(0, 60.0))
    ).boot()
    driver.down("waits")
    driver.down("gave_up")
    assert driver.ask(StopChild("stopped")).ok

    assert counts(driver.core) == ChildCounts(specs=4, active=1, supervisors=0, workers=4)
    assert [(found.id, found.phase) for found in facts(driver.core)] == [
        ("runs", "running"),
        ("waits", "backoff"),
        ("stopped", "stopped"),
        ("gave_up", "gave_up"),
    ]


def test_c75_counts_with_supervisors(world):
    system = world.start(world.group("g"), world.child("a"), world.child("b"))
    root = system.handle("/root")
    assert root.call(CountChildren()) == ChildCounts(3, 3, 1, 2)
    assert root.call(StopChild("g")).ok
    assert root.call(CountChildren()) == ChildCounts(3, 2, 1, 2)


def test_c76_replace_specs(world):
    keeps, updates, goes, comes = (world.child(name) for name in ("keeps", "updates", "goes", "comes"))
    system = world.start(keeps, updates, goes)
    root = system.handle("/root")
    update = ChildSpec("updates", updates.factory, shutdown_s=9.0, backoff=NO_BACKOFF)
    assert root.call(ReplaceSpecs((comes, keeps, update))).ok
    world.until_incarnation(system, "/root/updates", 2)
    world.until_incarnation(system, "/root/comes", 1)
    world.until(lambda: world.node(system, "/root/goes") is None, "goes has gone")
    assert [found.id for found in root.call(WhichChildren())] == ["comes", "keeps", "updates"]
    assert world.node(system, "/root/keeps").incarnation == 1
    assert root.call(GetSpec("updates")).shutdown_s == 9.0
    assert root.call(GetSpec("goes")) is None
    assert world.node(system, "/root").restarts_in_window == 0
    assert root.call(ReplaceSpecs((keeps, keeps))).error == "invalid"


def test_c76_start_order_holds_after_a_replacement():
    driver = Driver(child("a"), child("b"), obedient=True, strategy=Strategy.REST_FOR_ONE).boot()
    assert driver.ask(ReplaceSpecs((child("n"), child("b"), child("a")))).ok
    driver.down("b")
    assert driver.incarnations()["n"] == 1
    assert driver.spawned()[-2:] == ["b", "a"]


def test_stacks_are_written_on_a_signal(tmp_path):
    """SIGUSR1 writes every stack and ends nothing."""
    program = """
        import sys, threading, time
        from actors.supervision.stacks import dump_on_signal
        dump_on_signal()
        print("ready", flush=True)
        sys.stdin.readline()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGUSR1)
        lines = []
        while "in <module>" not in (line := process.stderr.readline()):
            lines.append(line)
        assert any("most recent call first" in line for line in lines)
        process.stdin.write("done\n")
        process.stdin.flush()
        assert process.wait(20) == 0


def test_a_start_child_is_refused_while_ending():
    driver = Driver(child("a"), obedient=False).boot()
    driver.send(Ready("a", 1))
    driver.shutdown()
    assert driver.ask(StartChild(child("b"))).error == "stopping"
    driver.send(Down("a", 1, Kind.SHUTDOWN))
    assert driver.ask(StartChild(child("b"))).error == "stopping"
