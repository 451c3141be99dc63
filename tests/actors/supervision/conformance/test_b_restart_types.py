"""Who is restarted after which end (cases 17 to 27)."""

import functools
import gc
import weakref

import pytest

from actors.supervision.actor import Actor
from actors.supervision.messages import DeleteChild, RestartChild, StartChild, StopChild, WhichChildren
from actors.supervision.spec import ChildSpec, Limit, Restart, Strategy
from tests.actors.supervision.driver import Driver, child
from tests.actors.supervision.harness import FAST, crash, leave, leave_shutdown


def ends(world, restart, how):
    system = world.start(world.child("a", restart=restart), world.child("b"))
    system.handle("/root/a").tell(how)
    world.until(lambda: world.events("down", "/root/a"), "a has ended")
    return system


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(leave, id="c17_permanent_normal"),
        pytest.param(leave_shutdown, id="c18_permanent_shutdown"),
        pytest.param(crash, id="c19_permanent_crash"),
    ],
)
def test_c17_c18_c19_permanent(world, how):
    system = ends(world, Restart.PERMANENT, how)
    world.until_incarnation(system, "/root/a", 2)
    assert world.node(system, "/root").restarts_in_window == 1
    assert world.node(system, "/root/b").incarnation == 1


@pytest.mark.parametrize(
    "how", [pytest.param(leave, id="c20_transient_normal"), pytest.param(leave_shutdown, id="c21_transient_shutdown")]
)
def test_c20_c21_transient_in_good_order(world, how):
    system = ends(world, Restart.TRANSIENT, how)
    world.until(lambda: world.state(system, "/root/a") == "stopped", "a stays down")
    assert [child.id for child in system.handle("/root").call(WhichChildren())] == ["a", "b"]
    assert world.node(system, "/root/a").incarnation == 1
    assert world.node(system, "/root").restarts_in_window == 0


def test_c22_transient_crash(world):
    system = ends(world, Restart.TRANSIENT, crash)
    world.until_incarnation(system, "/root/a", 2)
    assert world.node(system, "/root").restarts_in_window == 1


@pytest.mark.parametrize(
    "how", [pytest.param(leave, id="c23_temporary_normal"), pytest.param(crash, id="c24_temporary_crash")]
)
def test_c23_c24_temporary(world, how):
    system = ends(world, Restart.TEMPORARY, how)
    world.until(lambda: world.node(system, "/root/a") is None, "a has left the table")
    assert [child.id for child in system.handle("/root").call(WhichChildren())] == ["b"]
    assert world.node(system, "/root").restarts_in_window == 0


def test_c25_temporary_no_args_kept(world):
    class Large:
        pass

    class Uses(Actor):
        def __init__(self, large):
            pass

    large = Large()
    dies = weakref.ref(large)
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))

    spec = ChildSpec("x", functools.partial(Uses, large), restart=Restart.TEMPORARY, backoff=FAST)
    assert system.handle("/root/pool").call(StartChild(spec)).ok
    del large, spec

    def dead():
        gc.collect()
        return dies() is None

    world.until(dead, "the argument is not kept")
    assert world.state(system, "/root/pool/x") == "running"


def test_c26_temporary_bystander():
    for strategy, killed in ((Strategy.ONE_FOR_ALL, "c"), (Strategy.REST_FOR_ONE, "a")):
        driver = Driver(child("a"), child("b", restart=Restart.TEMPORARY), child("c"), strategy=strategy).boot()
        driver.down(killed)
        assert driver.phase("b") is None
        assert driver.incarnations() == {"a": 2, "c": 2}
        assert len(driver.core.window.times) == 1


def test_c27_manual_restart_not_counted(world):
    system = world.start(world.child("a"), intensity=1)
    root = system.handle("/root")
    for life in range(2, 12):
        assert root.call(StopChild("a")).ok
        assert root.call(RestartChild("a")).ok
        assert world.node(system, "/root/a").incarnation == life
    assert world.node(system, "/root").restarts_in_window == 0


def test_c27_a_dynamic_child_that_was_given_up_is_forgotten_and_begun_anew(world):
    """Starting it again finds it present; forgetting it first is what brings it back, and one that runs stays."""
    system = world.start(world.group("pool", strategy=Strategy.DYNAMIC))
    pool, one = system.handle("/root/pool"), system.handle("/root/pool/a")
    assert pool.call(StartChild(world.child("a", limit=Limit(0, 60.0)))).ok
    assert pool.call(DeleteChild("a")).error == "running"
    one.tell(crash)
    world.until(lambda: world.state(system, "/root/pool/a") == "gave_up", "a gave up")
    assert pool.call(StartChild(world.child("a"))).error == "already_present"
    assert pool.call(DeleteChild("a")).ok
    assert pool.call(StartChild(world.child("a"))).ok
    assert one.call(lambda actor: "here") == "here"
