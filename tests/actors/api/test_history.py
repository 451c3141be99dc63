"""The rings behind the charts."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.api.charted import charted
from actors.api.history import COARSE_SPAN_S, FINE_SPAN_S, History, json_of, values_of

WALL = 1_000_000.0


def filled(history, times, value=lambda at: at, name="a"):
    for at in times:
        history.add(at, WALL + at, {name: value(at)})
    return history


def read(history, span="15m", name="a"):
    reading = history.read(span)
    return reading, values_of(reading.series[name])


def test_a_sample_a_step_is_a_value_a_slot_at_its_time():
    reading, values = read(filled(History(5.0), range(1000, 1100, 5), value=lambda at: at - 1000))
    assert reading.step_s == 5.0
    assert len(values) == FINE_SPAN_S / 5
    assert values[-20:] == [float(5 * index) for index in range(20)]
    assert values[:-20] == [None] * (len(values) - 20)
    assert reading.begins_at + (len(values) - 1) * 5.0 == WALL + 1095


def test_one_sample_a_step_is_wanted():
    history = History(5.0)
    assert history.wants(100.0)
    history.add(100.0, WALL, {})
    assert not history.wants(104.9)
    assert history.wants(105.0)


def test_what_was_not_sampled_is_missing_and_never_zero():
    history = filled(History(1.0), [10, 11, 12, 20, 21])
    _, values = read(history)
    assert values[-12:] == [10.0, 11.0, 12.0, *[None] * 7, 20.0, 21.0]
    history.add(22, WALL + 22, {"b": 1.0})
    assert read(history)[1][-1] is None
    assert read(history, name="b")[1][-2:] == [None, 1.0]
    history.add(23, WALL + 23, {"b": math.nan, "a": math.inf})
    assert read(history, name="b")[1][-1] is None
    assert json_of(history.read("15m").series["a"]).endswith("21,null,null]")


def test_a_late_sample_of_the_schedule_makes_no_hole():
    _, values = read(filled(History(5.0), [100.1, 104.9, 110.2, 115.0], value=lambda _: 1.0))
    assert values[-4:] == [1.0, 1.0, 1.0, 1.0]


def test_a_day_is_the_mean_of_each_minute():
    history = filled(History(5.0), range(0, 600, 5), value=lambda at: 2.0 if at % 10 else 4.0)
    _, values = read(history, "24h")
    assert values[-10:] == [3.0] * 10
    assert len(values) == COARSE_SPAN_S / 60


def test_the_past_goes_when_it_is_older_than_the_span():
    history = filled(History(5.0), [0.0, FINE_SPAN_S + 100, COARSE_SPAN_S + 2000])
    assert [value for value in read(history)[1] if value is not None] == [pytest.approx(COARSE_SPAN_S, rel=1)]
    history = filled(History(5.0), [0.0])
    history.add(COARSE_SPAN_S + 600, WALL, {"b": 1.0})
    assert set(history.read("24h").series) == {"b"}, "a series that nobody feeds for a day is forgotten"


def test_a_clock_that_is_set_moves_the_axis_and_tears_nothing():
    history = filled(History(5.0), [100, 105])
    history.add(110, WALL - 3_600, {"a": 110.0})
    reading, values = read(history)
    assert values[-3:] == [100.0, 105.0, 110.0]
    assert reading.begins_at + (len(values) - 1) * 5 == WALL - 3_600


def test_a_series_too_many_is_told_and_the_silent_give_way():
    history = History(5.0, series_max=2)
    history.add(0, WALL, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert set(history.read("15m").series) == {"a", "b"}
    assert history.read("15m").left_out == 1
    history.add(20, WALL + 20, {"b": 1.0, "c": 1.0})
    assert set(history.read("15m").series) == {"b", "c"}
    assert history.read("15m").left_out == 0


def test_its_size_is_two_bytes_a_slot():
    history = filled(History(5.0), range(0, 10_000, 5))
    sizes = [len(history.read(span).series["a"]) for span in history.spans]
    assert sum(sizes) == 2 * (180 + 1440)


def test_intervals_that_do_not_divide_a_minute_get_the_next_that_does():
    assert History(7.0).read("15m").step_s == 10.0
    assert History(0.5).read("15m").step_s == 1.0
    assert History(300.0).read("24h").step_s == 300.0
    _, values = read(filled(History(300.0), range(0, 3000, 300), value=lambda _: 7.0), "24h")
    assert values[-10:] == [7.0] * 10


def test_only_what_there_is_can_be_read():
    with pytest.raises(KeyError):
        History().read("1y")
    assert History().read("24h").series == {}
    assert set(filled(History(), [1]).read("15m", {"a", "none"}).series) == {"a"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 400.0), st.floats(0, 60_000)), min_size=1, max_size=60))
def test_it_agrees_with_a_plain_dictionary(steps):
    history, expected, now = History(5.0), {}, 0.0
    last = None
    for wait, value in steps:
        now += wait
        history.add(now, WALL + now, {"a": value})
        bucket = int(now // 5)
        if last is not None and int(last // 5) == bucket - 2 and now - last < 1.9 * 5:
            expected[bucket - 1] = value
        expected[bucket], last = value, now
    head = int(now // 5)
    for offset, value in enumerate(read(history)[1]):
        wanted = expected.get(head - 179 + offset)
        assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-3, abs=1e-6))


def test_charted_figures_have_units_that_fit_and_the_unknown_is_not_there():
    found = charted(
        {
            "host": {
                "cpu.busy": 0.25,
                "memory.total_bytes": 100,
                "memory.available_bytes": 40,
                "net.received_bytes_per_s": 3 << 20,
                "pressure.cpu.some": None,
            },
            "gpus": {"GPU-1": {"utilization": 0.5, "memory_total_bytes": 0, "power_w": 300, "name": "H100"}},
            "engines": {"chat": {"waiting": 2, "state": "ready", "ttft_p95_s": 0.1, "running": True}},
        }
    )
    assert found == {
        "host.cpu": 0.25,
        "host.memory": 0.6,
        "host.received": 3.0,
        "gpu.GPU-1.utilization": 0.5,
        "gpu.GPU-1.power": 300.0,
        "engine.chat.waiting": 2.0,
        "engine.chat.ttft": 0.1,
    }
    assert charted(None) == {}


def test_what_a_dead_collector_saw_last_is_not_the_present():
    def snapshot(at, error=""):
        health = {"at": at, "interval_s": 1.0, "error": error}
        return {"at": 100.0, "host": {"cpu.busy": 0.5}, "collectors": {"host": health}}

    assert charted(snapshot(97)) == {"host.cpu": 0.5}
    assert charted(snapshot(90)) == {}
    assert charted(snapshot(100, "no /proc")) == {}
