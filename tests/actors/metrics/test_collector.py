"""The schedule of collectors: absolute, missed ticks counted, a fault is the collector's own."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.metrics.collector import Chore, Collected, Collector, next_tick, on_grid, run
from actors.metrics.gathering import NEAR_S, Gathering, merged
from actors.metrics.snapshot import Snapshot
from tests.fakes.clock import Clock


def each(told):
    """What `run` tells, one look after the other."""
    return lambda seen, _next_s: told.extend(seen)


def nobody(_seen, _next_s):
    """Nobody wants to know."""


@given(st.floats(0, 1e6), st.floats(0.1, 300), st.floats(0, 1e5))
def test_the_next_tick_is_on_the_schedule_and_ahead(due_s, interval_s, late_s):
    tick, missed = next_tick(due_s, interval_s, due_s + late_s)
    assert tick >= due_s + late_s
    assert tick - (due_s + late_s) <= interval_s * 1.001
    assert (tick - due_s) / interval_s == pytest.approx(missed + 1)


def test_a_schedule_does_not_drift_and_what_is_missed_is_counted():
    clock, seen = Clock(20.0), []
    takes = iter([0.1, 0.1, 3.5, 0.1])

    def look():
        seen.append(clock.now_s)
        clock.now_s += next(takes, 0.1)
        return {"host": {"n": len(seen)}}

    told = []
    run((Collector("host", 1.0, look),), clock, lambda: 5.0, each(told))
    assert seen[:5] == pytest.approx([0.0, 1.0, 2.0, 6.0, 7.0])
    assert [one.skipped for one in told][:5] == [0, 0, 3, 3, 3]
    assert told[2].duration_s == pytest.approx(3.5)
    assert told[0].rooms == {"host": {"n": 1}}


def test_collectors_of_one_thread_keep_their_own_intervals():
    clock, order = Clock(4.9), []
    fast = Collector("fast", 1.0, lambda: order.append("fast") or {})
    slow = Collector("slow", 2.0, lambda: order.append("slow") or {})
    run((fast, slow), clock, lambda: 0.0, nobody)
    assert order.count("fast") == 5
    assert order.count("slow") == 3


def test_a_fault_is_counted_and_told_and_the_next_look_comes():
    clock, told = Clock(2.5), []

    def look():
        if len(told) == 1:
            raise OSError("it went away")
        return {"host": {}}

    run((Collector("host", 1.0, look),), clock, lambda: 0.0, each(told))
    assert [(one.errors, one.error) for one in told] == [(0, ""), (1, "OSError: it went away"), (1, "")]
    assert told[1].rooms == {}


def test_questions_of_all_that_is_due_are_asked_before_the_first_look():
    clock, order = Clock(0.5), []
    made = [
        Collector(name, 1.0, lambda name=name: order.append(name) or {}, lambda name=name: order.append(f"{name}?"))
        for name in ("docker", "engines")
    ]
    run(made, clock, lambda: 0.0, nobody)
    assert order == ["docker?", "engines?", "docker", "engines"]


def test_a_question_that_cannot_be_asked_is_the_error_of_its_look_and_of_no_later_one():
    clock, told, asked = Clock(1.5), [], iter([OSError("no sockets left")])

    def ask():
        for error in asked:
            raise error

    run((Collector("docker", 1.0, lambda: {"host": {}}, ask),), clock, lambda: 0.0, each(told))
    assert [(one.errors, one.error) for one in told] == [(1, "OSError: no sockets left"), (1, "")]
    assert [one.rooms for one in told] == [{}, {"host": {}}]


def test_a_look_that_ends_after_another_took_over_is_not_told():
    clock, told = Clock(10.0), []

    def look():
        clock.now_s = 11.0
        return {"disks": {}}

    run((Collector("disks", 1.0, look),), clock, lambda: 0.0, each(told))
    assert told == []


def test_the_phase_shifts_all_but_the_first_look():
    clock, seen = Clock(3.0), []
    run((Collector("host", 1.0, lambda: seen.append(clock.now_s) or {}),), clock, lambda: 0.0, nobody, 0.5)
    assert seen == pytest.approx([0.0, 1.5, 2.5])


def test_what_is_due_at_once_is_one_wake_up_and_told_together():
    clock, told = Clock(10.5), []
    fast, slow = Collector("fast", 1.0, lambda: {"host": {}}), Collector("slow", 5.0, lambda: {"agent": {}})
    run((fast, slow), clock, lambda: 0.0, lambda seen, next_s: told.append(([one.name for one in seen], next_s)), 0.25)
    assert [names for names, _ in told if len(names) > 1] == [["fast", "slow"]] * 3
    assert [next_s for _, next_s in told] == pytest.approx([1.25 + tick for tick in range(len(told))])


@given(st.floats(-100, 100), st.floats(0.5, 60), st.floats(0, 1e4))
def test_a_grid_has_its_ticks_whole_intervals_from_its_beginning(beat_s, interval_s, after_s):
    tick = on_grid(beat_s, interval_s, after_s)
    assert -1e-6 * interval_s <= tick - after_s <= interval_s * (1 + 1e-6)
    assert (tick - beat_s) / interval_s == pytest.approx(round((tick - beat_s) / interval_s), abs=1e-6)


def test_a_chore_keeps_the_schedule_and_shows_nothing():
    clock, done, told = Clock(4.5), [], []
    chore = Chore("chore", 1.0, lambda: done.append(clock.now_s))
    run((Collector("host", 2.0, lambda: {"host": {}}), chore), clock, lambda: 0.0, lambda *beat: told.append(beat))
    assert done == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
    assert [[one.name for one in seen] for seen, _ in told] == [["host"], [], ["host"], [], ["host"]]
    assert [next_s for _, next_s in told] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])


def part(name, **figures):
    return Collected(name, 5.0, 1.0, 0.0, {"host": figures} if figures else {})


class Shown:
    """A gathering whose time is the test's, and which looks each snapshot brought."""

    def __init__(self):
        self.now_s, self.parts, self.snapshots = 0.0, [], [Snapshot(0.0)]
        self.gathering = Gathering(self.show, lambda: self.now_s, threading.Lock())

    def show(self, snapshot):
        before = self.snapshots[-1].collectors
        self.parts.append({name for name, health in snapshot.collectors.items() if health is not before.get(name)})
        self.snapshots.append(snapshot)

    def beat(self, *names, next_s):
        self.gathering.beat(tuple(part(name) for name in names), next_s)

    def put(self, name):
        self.gathering.put((part(name),))


def test_what_is_seen_shortly_before_the_beat_goes_with_it():
    shown = Shown()
    shown.beat("host", next_s=1.0)
    shown.now_s = 1.0 - NEAR_S / 2
    shown.put("gpu")
    assert shown.parts == [{"host"}]
    shown.now_s = 1.0
    shown.beat("host", next_s=2.0)
    assert shown.parts == [{"host"}, {"gpu", "host"}]


@pytest.mark.parametrize("at_s", [0.2, 1.01, 7.0])
def test_what_is_seen_at_another_time_or_after_a_beat_that_did_not_come_is_shown_at_once(at_s):
    shown = Shown()
    shown.beat("host", next_s=1.0)
    shown.now_s = at_s
    shown.put("gpu")
    assert shown.parts == [{"host"}, {"gpu"}]


def test_an_event_waits_for_no_beat_and_takes_along_what_does():
    shown = Shown()
    shown.beat("host", next_s=1.0)
    shown.now_s = 1.0 - NEAR_S / 2
    shown.put("gpu")
    shown.gathering.now((part("event"),))
    shown.beat("host", next_s=2.0)
    assert shown.parts == [{"host"}, {"gpu", "event"}, {"host"}]


def test_a_beat_that_saw_nothing_shows_what_waited_for_it_and_else_nothing():
    shown = Shown()
    shown.beat("host", next_s=1.0)
    shown.now_s = 1.0
    shown.beat(next_s=1.05)
    shown.put("gpu")
    assert shown.parts == [{"host"}]
    shown.beat(next_s=2.0)
    assert shown.parts == [{"host"}, {"gpu"}]


def test_looks_of_one_moment_are_one_snapshot_and_what_nobody_saw_is_the_same_object():
    before = merged(Snapshot(1.0, disks={"/": {}}), (part("containers", kept=1), part("host", changed=1)))
    parts = (part("host", changed=2), part("docker", docker_up=True), Collected("agent", 6.0, 1.0, 0.0, {"agent": {}}))
    after = merged(before, parts)
    assert after.host == {"kept": 1, "changed": 2, "docker_up": True}
    assert (after.at, after.agent) == (6.0, {})
    assert after.disks is before.disks
    assert set(after.collectors) == {"containers", "host", "docker", "agent"}


def test_a_figure_of_the_host_that_its_collector_says_no_more_is_gone_and_one_that_failed_keeps_its_own():
    before = merged(Snapshot(1.0), (part("host", steal=0.5, busy=0.6), part("docker", docker_up=True)))
    after = merged(before, (part("host", busy=0.7), Collected("docker", 6.0, 1.0, 0.0, {}, error="it hangs")))
    assert after.host == {"busy": 0.7, "docker_up": True}
    only = Collected("agent", 6.0, 1.0, 0.0, {"agent": {}})
    assert merged(after, (only,)).host is after.host, "nobody saw it anew"


def test_a_collector_that_has_nothing_to_look_at_is_shown_as_ended():
    shown = Shown()
    shown.gathering.ended("gpu", 5.0, 1.0)
    assert shown.snapshots[-1].collectors["gpu"]["ended"] is True
    assert shown.gathering.snapshot is shown.snapshots[-1]
