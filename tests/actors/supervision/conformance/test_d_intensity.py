"""Budgets and backoff (cases 38 to 53)."""

import time
from random import Random

import pytest

from actors.supervision.backoff import base_delay_s, delay_s
from actors.supervision.errors import MailboxFull
from actors.supervision.messages import DeleteChild, RestartChild, StartChild, StopChild, WhichChildren
from actors.supervision.signals import Down, Due, Kind, Ready, TimerFired
from actors.supervision.spec import Backoff, Limit, LimitAction, MailboxSpec, Strategy
from tests.actors.supervision.driver import NO_BACKOFF, Driver, child
from tests.actors.supervision.harness import Boom, crash, incarnation

STRATEGIES = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE, Strategy.DYNAMIC]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_c38_intensity_exact(strategy):
    driver = Driver(child("a", backoff=NO_BACKOFF), intensity=3, period_s=60.0, strategy=strategy).boot()
    for failure in range(3):
        driver.down("a")
        driver.settle()
        assert driver.incarnations() == {"a": failure + 2}
    driver.down("a")
    driver.settle()
    assert driver.finished.kind is Kind.SHUTDOWN
    assert "more than 3 failures within 60 s" in driver.finished.cause


def test_c39_intensity_spread():
    driver = Driver(child("a", backoff=NO_BACKOFF), intensity=2, period_s=10.0).boot()
    for _ in range(200):
        driver.down("a")
        driver.advance(5.001)
    assert driver.incarnations() == {"a": 201}
    assert driver.finished is None


def test_c40_intensity_zero():
    driver = Driver(child("a"), child("b"), intensity=0, period_s=1.0).boot()
    driver.down("a")
    assert driver.spawned() == ["a", "b"]
    assert driver.stopped() == ["b"]
    assert driver.finished is not None


def test_c41_window_boundary():
    for gap, survives in ((10.0, False), (10.000001, True)):
        driver = Driver(child("a", backoff=NO_BACKOFF), intensity=1, period_s=10.0).boot()
        driver.down("a")
        driver.advance(gap)
        driver.down("a")
        assert (driver.finished is None) is survives


def test_c42_failed_starts_count():
    driver = Driver(child("a", backoff=NO_BACKOFF), intensity=3, period_s=60.0, obedient=False).boot()
    driver.send(Ready("a", 1))
    driver.down("a")
    for life in (2, 3, 4):
        driver.settle()
        driver.send(Down("a", life, Kind.START_FAILED, "no"))
    assert driver.finished is not None
    assert driver.incarnations() == {"a": 4}


def test_c43_per_child_giveup():
    flapping = child("a", limit=Limit(2, 60.0), backoff=NO_BACKOFF)
    driver = Driver(flapping, child("b"), strategy=Strategy.DYNAMIC, intensity=0).boot()
    for _ in range(3):
        driver.down("a")
        driver.settle()
    assert driver.phase("a") == "gave_up"
    assert driver.incarnations() == {"a": 3, "b": 1}
    assert driver.finished is None
    assert driver.reports("gave_up")[0].severity == "critical"
    assert driver.ask(RestartChild("a")).ok
    assert driver.phase("a") == "running"


def test_c43_a_child_may_escalate_its_own_limit():
    own = child("a", limit=Limit(0, 60.0, LimitAction.ESCALATE))
    driver = Driver(own, child("b")).boot()
    driver.down("a")
    assert driver.finished is not None


def test_c44_clock_step(world, monkeypatch):
    """Only the monotonic clock is read: a wall clock that jumps by a day changes nothing."""
    jump = iter([86_400.0, -86_400.0] * 1000)
    monkeypatch.setattr(time, "time", lambda: 1e9 + next(jump))
    system = world.start(world.child("a"), intensity=5)
    for life in range(2, 6):
        system.handle("/root/a").tell(crash)
        world.until_incarnation(system, "/root/a", life)
    assert world.node(system, "/root").restarts_in_window == 4


def test_c45_backoff_curve():
    backoff = Backoff(min_s=0.2, max_s=60.0, factor=2.0, jitter=0.3)
    rng = Random(3)
    assert base_delay_s(backoff, 1) == 0.0
    for failures in [*range(2, 41), 10**9]:
        base = min(60.0, 0.2 * 2.0 ** min(failures - 2, 32))
        assert base_delay_s(backoff, failures) == pytest.approx(base)
        for _ in range(50):
            assert 0.7 * base - 1e-9 <= delay_s(backoff, failures, rng) <= base <= 60.0
    assert base_delay_s(Backoff(immediate_first=False), 1) == 0.2
    assert base_delay_s(Backoff(factor=1e9), 40) == 60.0


def test_c46_backoff_seeded():
    def delays(seed):
        driver = Driver(child("a"), child("b"), seed=seed).boot()
        for _ in range(20):
            for name in "ab":
                driver.down(name)
                driver.settle()
        return [report.next_try_s for report in driver.reports("restarting")]

    assert delays(5) == delays(5)
    assert delays(5) != delays(6)


def test_c47_backoff_reset():
    backoff = Backoff(min_s=1.0, max_s=8.0, jitter=0.0, reset_after_s=30.0)
    driver = Driver(child("a", backoff=backoff)).boot()

    def fails():
        driver.down("a")
        return driver.reports("restarting")[-1].next_try_s

    assert fails() == 0.0
    assert fails() == 1.0
    driver.advance(1.0 + 29.9)
    assert fails() == 2.0
    driver.advance(2.0 + 30.1)
    assert fails() == 0.0


def test_c48_stale_reset_ignored():
    backoff = Backoff(min_s=1.0, max_s=8.0, jitter=0.0, reset_after_s=30.0)
    driver = Driver(child("a", backoff=backoff)).boot()
    driver.down("a")
    stale = next(fired for _, _, fired in driver.timers if fired.due is Due.RESET)
    driver.advance(5.0)
    driver.down("a")
    driver.advance(1.0)
    assert driver.core.children["a"].failures == 2
    driver.send(stale)
    assert driver.core.children["a"].failures == 2


SLOW = Backoff(min_s=60.0, max_s=60.0, jitter=0.0, immediate_first=False)


def in_backoff(world, **spec):
    """A child that waits for its restart, which comes when the test says so."""
    system = world.start(world.child("a", backoff=SLOW, limit=Limit(3, 3600.0), **spec))
    system.handle("/root/a").tell(crash)
    world.until(lambda: world.state(system, "/root/a") == "backoff", "a waits")
    return system


def fire_restart(system, name="a"):
    core = system.services.supervisors["/root"]
    system.services.cell("/root").mailbox.signal(TimerFired(name, Due.RESTART, core.children[name].epoch))


def test_c49_buffering_in_backoff(world):
    system = in_backoff(world)
    for number in range(50):
        system.handle("/root/a").tell(number)
    assert world.node(system, "/root/a").mailbox_depth == 50
    fire_restart(system)
    world.until(lambda: len(world.got) == 50, "everything was delivered")
    assert world.got == [("a", 2, number) for number in range(50)]


def test_c50_buffer_full(world):
    system = in_backoff(world, mailbox=MailboxSpec(capacity=10))
    handle = system.handle("/root/a")
    for number in range(10):
        handle.tell(number)
    with pytest.raises(MailboxFull, match="10 messages wait"):
        handle.tell("one too many")
    fire_restart(system)
    world.until(lambda: len(world.got) == 10, "the earlier ones are intact")
    assert [message for _, _, message in world.got] == list(range(10))


def test_c51_hanging_restart_loop(world):
    """A child that crashes at every start keeps nobody from the supervisor."""

    def only_once(actor):
        if incarnation(actor) > 1:
            raise Boom("again")

    system = world.start(
        world.group("g", world.child("a", only_once), world.child("b"), of={"intensity": 10**6, "period_s": 1e9})
    )
    group = system.handle("/root/g")
    system.handle("/root/g/a").tell(crash)
    world.until(lambda: world.node(system, "/root/g/a").incarnation > 5, "the loop turns")
    assert [found.id for found in group.call(WhichChildren())] == ["a", "b"]
    errors = {group.call(RestartChild("a")).error, group.call(DeleteChild("a")).error}
    assert errors <= {"restarting", "running"}
    assert group.call(StartChild(world.child("a"))).error in {"already_present", "already_started"}
    assert group.call(StopChild("a")).ok
    life = world.node(system, "/root/g/a").incarnation
    assert group.call(StopChild("b")).ok
    assert world.node(system, "/root/g/a").incarnation == life
    assert group.call(RestartChild("b")).ok


def test_c51_shutdown_ends_the_loop(world):
    def only_once(actor):
        if incarnation(actor) > 1:
            raise Boom("again")

    system = world.start(world.child("a", only_once), intensity=10**6, period_s=1e9)
    system.handle("/root/a").tell(crash)
    world.until(lambda: world.node(system, "/root/a").incarnation > 5, "the loop turns")
    system.stop()
    assert system.exit_code == 0
    assert world.state(system, "/root") == "stopped"


def test_c51_admin_errors_while_restarting():
    driver = Driver(child("a", backoff=SLOW)).boot()
    driver.down("a")
    assert driver.ask(RestartChild("a")).error == "restarting"
    assert driver.ask(DeleteChild("a")).error == "restarting"
    assert driver.ask(StartChild(child("a"))).error == "already_present"


def test_c52_terminate_in_backoff():
    driver = Driver(child("a", backoff=SLOW), child("b")).boot()
    driver.down("a")
    assert driver.phase("a") == "backoff"
    assert driver.ask(StopChild("a")).ok
    driver.advance(1e6)
    assert driver.phase("a") == "stopped"
    assert driver.incarnations() == {"a": 1, "b": 1}


def test_c53_error_log_level_rises():
    driver = Driver(child("a", backoff=NO_BACKOFF)).boot()
    for _ in range(12):
        driver.down("a")
        driver.settle()
    severities = [report.severity for report in driver.reports("restarting")]
    assert severities.count("critical") == 1
    assert severities[5] == "critical"
    assert all(report.next_try_s is not None for report in driver.reports("restarting"))
