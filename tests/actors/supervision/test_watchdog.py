"""How often the watchdog looks: rarely while nobody works, and yet a hang is found as soon as if it always looked."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.supervision.signals import Hung
from actors.supervision.spec import ChildSpec, Hang
from actors.supervision.watchdog import IDLE_SCANS, Watchdog

INTERVAL_S = 0.5


class Clock:
    """Time that passes only while the watchdog waits."""

    def __init__(self):
        self.now_s, self.pauses = 100.0, []

    def now(self):
        return self.now_s

    def parker(self):
        return self

    def park(self, delay_s):
        self.pauses.append(delay_s)
        self.now_s += delay_s


class Child:
    """An incarnation that is idle until `begins_s`, and from then on never done with its message."""

    limit_s, hung, fenced, number, message = None, False, False, 1, "message"
    cell = SimpleNamespace(path="/root/child")
    worker = SimpleNamespace(is_alive=lambda: True, stack=lambda: "")

    def __init__(self, clock, begins_s, limit_s, stop_s=5.0):
        self._clock, self._begins_s = clock, begins_s
        self.spec = ChildSpec("child", lambda: None, hang=Hang(60.0, {str: limit_s}), shutdown_s=stop_s)
        self.patience_s = self.spec.patience_s
        self.told = []

    @property
    def busy_since(self):
        return self._begins_s if self._begins_s <= self._clock.now_s else 0.0

    def tell_boss(self, signal):
        self.told.append((type(signal), self._clock.now_s))


def watched(clock, child, until_s):
    services = SimpleNamespace(
        runtime=clock, settings=SimpleNamespace(scan_interval_s=INTERVAL_S), live={1: child}, events=None
    )
    watchdog = Watchdog(services)
    while clock.now_s < until_s:
        watchdog.scan()
        clock.park(watchdog._pause_s)
    return watchdog


@given(st.floats(100.0, 120.0), st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_a_hang_is_found_within_its_limit_and_one_interval(begins_s, limit_s, stop_s):
    clock = Clock()
    child = Child(clock, begins_s, limit_s, stop_s)
    watched(clock, child, 160.0)
    ((kind, found_s),) = child.told
    assert kind is Hung
    assert limit_s < found_s - begins_s <= limit_s + INTERVAL_S + 1e-6


def test_while_nobody_works_it_looks_rarely_and_is_alive():
    clock = Clock()
    watchdog = watched(clock, Child(clock, 1e9, 5.0), 160.0)
    assert set(clock.pauses[1:]) == {IDLE_SCANS * INTERVAL_S}
    watchdog._worker = SimpleNamespace(is_alive=lambda: True)
    assert watchdog.alive()
    clock.park(10 * IDLE_SCANS * INTERVAL_S)
    assert not watchdog.alive()


@pytest.mark.parametrize("limit_s", [0.2, 1.1])
def test_a_short_limit_is_looked_after_as_often_as_it_needs(limit_s):
    clock = Clock()
    watched(clock, Child(clock, 1e9, limit_s), 110.0)
    assert max(clock.pauses) == max(INTERVAL_S, limit_s)
