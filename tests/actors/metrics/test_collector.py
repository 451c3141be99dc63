"""The schedule of collectors: absolute, missed ticks counted, a fault is the collector's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.metrics.collector import Collector, next_tick, run


class Clock:
    """A flag whose time is the test's: waiting takes exactly as long as asked."""

    def __init__(self, until_s):
        self.now_s, self.until_s = 0.0, until_s

    def now(self):
        return self.now_s

    def is_set(self):
        return self.now_s >= self.until_s

    def wait(self, timeout_s):
        self.now_s += max(0.0, timeout_s)
        return self.is_set()


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
    run((Collector("host", 1.0, look),), clock, lambda: 5.0, told.append)
    assert seen[:5] == pytest.approx([0.0, 1.0, 2.0, 6.0, 7.0])
    assert [one.skipped for one in told][:5] == [0, 0, 3, 3, 3]
    assert told[2].duration_s == pytest.approx(3.5)
    assert told[0].rooms == {"host": {"n": 1}}


def test_collectors_of_one_thread_keep_their_own_intervals():
    clock, order = Clock(4.9), []
    fast = Collector("fast", 1.0, lambda: order.append("fast") or {})
    slow = Collector("slow", 2.0, lambda: order.append("slow") or {})
    run((fast, slow), clock, lambda: 0.0, lambda _one: None)
    assert order.count("fast") == 5
    assert order.count("slow") == 3


def test_a_fault_is_counted_and_told_and_the_next_look_comes():
    clock, told = Clock(2.5), []

    def look():
        if len(told) == 1:
            raise OSError("it went away")
        return {"host": {}}

    run((Collector("host", 1.0, look),), clock, lambda: 0.0, told.append)
    assert [(one.errors, one.error) for one in told] == [(0, ""), (1, "OSError: it went away"), (1, "")]
    assert told[1].rooms == {}


def test_a_look_that_ends_after_another_took_over_is_not_told():
    clock, told = Clock(10.0), []

    def look():
        clock.now_s = 11.0
        return {"disks": {}}

    run((Collector("disks", 1.0, look),), clock, lambda: 0.0, told.append)
    assert told == []


def test_the_phase_shifts_all_but_the_first_look():
    clock, seen = Clock(3.0), []
    run((Collector("host", 1.0, lambda: seen.append(clock.now_s) or {}),), clock, lambda: 0.0, lambda _one: None, 0.5)
    assert seen == pytest.approx([0.0, 1.5, 2.5])
