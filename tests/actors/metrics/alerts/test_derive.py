"""Signals from snapshots and facts: shares, rates, what is new, and what is not known."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.facts import EngineFacts, LinkChanged
from actors.metrics.alerts.derive import Signals
from actors.metrics.alerts.signals import SIGNALS
from actors.metrics.snapshot import Snapshot
from actors.metrics.windows import Grown, Growth, Recent, Window
from config.metrics import MetricsSettings

SETTINGS = MetricsSettings(ttft_p95_target_s=2.0)
GPU = {
    "temperature_c": 80.0,
    "slowdown_c": 92.0,
    "utilization": 0.5,
    "memory_total_bytes": 100,
    "memory_used_bytes": 97,
    "throttle_thermal": True,
    "throttle_brake": False,
    "nvlinks_up": 4,
    "nvlink_errors": 7,
    "pcie_width": 8,
    "pcie_width_max": 16,
    "pcie_replays": 0,
    "ecc_corrected": 0,
    "ecc_uncorrectable": 0,
    "xid_fatal_total": 0,
    "xid_memory_total": 0,
    "xid_app_total": 0,
    "fan_share": None,
}


class Run:
    def __init__(self):
        self.signals, self.now_s = Signals(SETTINGS, 0.0), 0.0

    def see(self, **rooms):
        self.now_s += 5
        fresh = {
            room: {key: dict(value) if isinstance(value, dict) else value for key, value in figures.items()}
            for room, figures in rooms.items()
        }
        self.signals.snapshot_is(Snapshot(at=1.0, **fresh), self.now_s)
        return self.values()

    def values(self):
        return self.signals.samples(self.now_s).values

    def engines(self, *facts):
        self.signals.engines_are(facts, self.now_s)


def test_every_signal_that_is_made_is_a_signal_that_rules_may_name():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready", gpus=("g",)))
    run.signals.link_is(LinkChanged("connected", clock_skew_ms=-1500))
    page = {
        "state": "ready",
        "running": 1,
        "waiting": 2,
        "kv_usage": 0.5,
        "generated_tokens_total": 1,
        "ttft_p95_s": 3.0,
    }
    rooms = {
        "host": {"memory.total_bytes": 4, "memory.available_bytes": 1, "oom_kills": 0, "docker_up": True},
        "disks": {
            "/": {
                "total_bytes": 10,
                "free_bytes": 5,
                "used_share": 0.5,
                "inodes_used_share": 0.1,
                "roles": "models",
                "hung": False,
            }
        },
        "gpus": {"g": GPU},
        "drivers": {"nvidia": {"hung": 0, "mismatch": 0, "gpus_missing": 0}},
        "engines": {"chat": page | {"preemptions_total": 0}},
        "containers": {"chat": {"oom_kills": 0}},
        "agent": {"rss_bytes": 1 << 20, "cpu_cores": 0.1, "spool_share": 0.0},
    }
    for _ in range(30):
        values = run.see(**rooms)
    extra = {"disk": {"total_bytes", "roles"}}
    for scope, subjects in values.items():
        for figures in subjects.values():
            assert set(figures) - extra.get(scope, set()) <= set(SIGNALS[scope])
            known = {name for name, value in figures.items() if value is not None}
            unknown_here = {
                "fan_share",
                "remap_pending",
                "remap_failure",
                "xid_code",
                "xid_text",
                "pressure_memory_full",
            }
            assert set(SIGNALS[scope]) - known <= unknown_here | {"pressure_cpu_some"}
    assert values["host"]["host"]["clock_skew_s"] == 1.5
    assert values["host"]["host"]["memory_available_share"] == 0.25
    assert values["engine"]["chat"]["ttft_by_target"] == 1.5


def test_what_is_new_is_new_once_and_a_reset_is_counted_from_zero():
    run = Run()
    assert run.see(host={"oom_kills": 4})["host"]["host"]["oom_kills_new"] == 0
    assert run.see(host={"oom_kills": 6})["host"]["host"]["oom_kills_new"] == 2
    assert run.values()["host"]["host"]["oom_kills_new"] == 0
    assert run.see(host={"oom_kills": 1})["host"]["host"]["oom_kills_new"] == 1


def test_of_a_silent_sampler_nothing_is_known_but_that_it_is_late():
    run = Run()
    assert "host" in run.see(host={"oom_kills": 4})
    run.now_s += 15
    values = run.values()
    assert values.keys() == {"engine", "collector"}
    assert values["collector"] == {"sampler": {"late_intervals": 4.5}}


def test_a_collector_that_never_had_a_good_look_is_late_from_its_first_on():
    run = Run()
    late = []
    for error in ("PermissionError", "PermissionError", "PermissionError", ""):
        health = {"error": error, "interval_s": 5.0, "ended": False}
        late.append(run.see(collectors={"sockets": health})["collector"]["sockets"]["late_intervals"])
    assert late == [0.0, 1.0, 2.0, 0.0]


def test_a_collector_is_not_late_before_its_next_look_is_due_so_that_its_rule_rests():
    run = Run()
    health = {"error": "", "interval_s": 60.0, "ended": False}
    run.see(collectors={"sockets": health})
    run.see(collectors={"sockets": health})
    assert run.values()["collector"]["sockets"] == {"late_intervals": 0.0}


def test_a_disk_that_fills_has_an_end_in_sight_and_one_that_does_not_has_none():
    run, free = Run(), 10_000.0
    for _ in range(60):
        free -= 5
        values = run.see(disks={"/a": {"free_bytes": free}, "/b": {"free_bytes": 7}, "/c": {"free_bytes": 7 - free}})
    assert values["disk"]["/a"]["full_in_s"] == pytest.approx(free)
    assert values["disk"]["/b"]["full_in_s"] == math.inf
    assert values["disk"]["/c"]["full_in_s"] == math.inf
    assert "full_in_s" not in Run().see(disks={"/a": {"free_bytes": 1}})["disk"]["/a"]


def busy(tokens, running=1):
    return {"chat": {"state": "ready", "running": running, "generated_tokens_total": tokens, "prompt_tokens_total": 1}}


def test_an_engine_is_stuck_when_it_runs_and_neither_reads_nor_writes():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready"))
    stuck = [run.see(engines=busy(tokens))["engine"]["chat"]["busy_without_progress_s"] for tokens in (1, 2, 2, 2, 3)]
    assert stuck == [0.0, 0.0, 5.0, 10.0, 0.0]
    assert run.see(engines=busy(3, running=0))["engine"]["chat"]["busy_without_progress_s"] == 0.0
    assert "busy_without_progress_s" not in run.see(engines={"chat": {"state": "loading"}})["engine"]["chat"]


def test_an_engines_end_is_known_from_its_actor_and_a_start_says_nothing():
    run = Run()
    for state, failed, gave_up in (("ready", 0, 0), ("backoff", 1, 0), ("starting", None, None), ("gave_up", 0, 1)):
        run.engines(EngineFacts("chat", "vllm", state))
        figures = run.values()["engine"]["chat"]
        assert (figures["failed"], figures["gave_up"]) == (failed, gave_up)


def test_restarts_of_the_last_ten_minutes_are_counted():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready", restarts=7))
    run.engines(EngineFacts("chat", "vllm", "backoff", restarts=9))
    assert run.values()["engine"]["chat"]["restarts_10m"] == 2
    run.now_s += 601
    assert run.values()["engine"]["chat"]["restarts_10m"] == 0


def test_a_main_process_killed_for_memory_is_known_from_the_actor_since_its_group_is_gone():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready"))
    run.engines(EngineFacts("chat", "vllm", "backoff", restarts=1, cause="host_out_of_memory"))
    assert run.values()["engine"]["chat"]["oom_kills_new"] == 1
    run.see(containers={"chat": {"oom_kills": 0}})
    assert run.see(containers={"chat": {"oom_kills": 2}})["engine"]["chat"]["oom_kills_new"] == 2


def test_a_removed_engine_is_gone_on_purpose():
    run = Run()
    assert "engine" not in run.signals.samples(0).whole
    run.engines(EngineFacts("chat", "vllm", "ready"))
    run.engines()
    samples = run.signals.samples(0)
    assert (samples.values["engine"], samples.whole) == ({}, {"engine"})


def test_a_page_that_does_not_come_is_counted_only_in_a_row():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready"))
    missing = {"chat": {"state": "ready", "page_missing": True}}
    misses = [run.see(engines=page)["engine"]["chat"]["page_misses"] for page in (missing, missing, busy(1), missing)]
    assert misses == [1, 2, 0, 1]


def test_the_memory_of_a_gpu_is_reserved_by_the_engine_on_it_and_unified_memory_is_not_judged():
    run = Run()
    run.engines(EngineFacts("chat", "vllm", "ready", gpus=("g",)))
    assert run.see(gpus={"g": GPU})["gpu"]["g"]["reserved_by_engine"] == 1
    run.engines()
    figures = run.see(gpus={"g": GPU})["gpu"]["g"]
    assert (figures["reserved_by_engine"], figures["memory_used_share"]) == (0, 0.97)
    unified = run.see(gpus={"g": GPU | {"unified": True}})["gpu"]["g"]
    assert unified["memory_used_share"] is unified["memory_free_bytes"] is unified["reserved_by_engine"] is None


def test_links_that_were_up_and_narrow_buses_under_load_are_seen():
    run = Run()
    run.see(gpus={"g": GPU})
    figures = run.see(gpus={"g": GPU | {"nvlinks_up": 2, "nvlink_errors": 9, "pcie_replays": 5}})["gpu"]["g"]
    assert (figures["nvlink_down"], figures["nvlink_errors_new"], figures["pcie_width_share"]) == (2, 2, 0.5)
    assert figures["pcie_replays_per_hour"] == 5
    assert run.see(gpus={"g": GPU | {"utilization": 0.0}})["gpu"]["g"]["pcie_width_share"] is None


def test_what_a_gpu_does_not_say_any_more_is_not_known_rather_than_old():
    run = Run()
    before = run.see(gpus={"g": GPU | {"nvlinks_up": 4, "xid_app_total": 1}})["gpu"]["g"]
    assert (before["nvlink_down"], before["xid_app_new"], before["temperature_c"]) == (0, 0, 80.0)
    lost = run.see(gpus={"g": {"lost": 1}})["gpu"]["g"]
    assert lost["nvlink_down"] is lost["xid_app_new"] is lost["temperature_c"] is lost["memory_used_share"] is None
    assert lost["lost"] == 1


def test_faults_of_programs_are_counted_over_ten_minutes():
    run = Run()
    counts = [0, 3, 3, 6]
    found = [run.see(gpus={"g": GPU | {"xid_app_total": count}})["gpu"]["g"] for count in counts]
    assert [figures["xid_app_new"] for figures in found] == [0, 3, 0, 3]
    assert [figures["xid_app_10m"] for figures in found] == [0, 3, 3, 6]


def test_windows_forget_and_say_nothing_of_one_value():
    window = Window(10)
    assert (window.mean(), window.growth(), window.slope()) == (None, None, None)
    for at, value in ((0, 1), (5, 3), (10, 2), (20, 8)):
        window.add(at, value)
    assert (window.covers_s, window.growth(), window.mean(), window.slope()) == (10, 6, 5, 0.6)
    recent, growth = Recent(10), Growth()
    recent.add(0, 2)
    recent.add(5)
    assert (recent.total(9), recent.total(12), recent.total(30)) == (3, 1, 0)
    growth.see(5)
    assert growth.take() == 0


@given(st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 100)), min_size=1, max_size=80))
def test_a_window_that_counts_as_it_goes_is_what_counting_anew_says(steps):
    window, kept, now_s = Window(60.0), [], 0.0
    for after_s, value in steps:
        now_s += after_s
        window.add(now_s, value)
        kept.append((now_s, value))
        while len(kept) > 2 and kept[1][0] <= now_s - 60.0:
            kept.pop(0)
        values = [value for _, value in kept]
        grown = sum(new - old if new >= old else new for old, new in itertools.pairwise(values))
        assert window.mean() == pytest.approx(sum(values) / len(values))
        assert window.growth() == (None if len(kept) < 2 else pytest.approx(grown))


@given(st.lists(st.tuples(st.floats(0.5, 40.0), st.integers(0, 5)), min_size=1, max_size=80))
def test_a_counter_that_seldom_moves_grows_by_the_steps_of_its_span(looks):
    counter, at_s, seen = Grown(100.0), 0.0, []
    for gap_s, value in looks:
        at_s += gap_s
        counter.see(at_s, value)
        seen.append((at_s, value))
        steps = [
            (when, after - before if after >= before else after)
            for (_, before), (when, after) in itertools.pairwise(seen)
        ]
        wanted = sum(grown for when, grown in steps if when > at_s - 100.0)
        assert counter.growth() == (None if len(seen) < 2 else wanted)
