"""Each default rule as a sequence: what raises it and after how long, what does not end it, what ends it and when.

The times stand here a second time on purpose: who changes a rule changes this table knowingly.
"""

from dataclasses import dataclass, field

import pytest

from actors.metrics.alerts.rule import Rules
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.alerts.state import Memory, Moment, Samples
from actors.metrics.alerts.step import step

DAY = 86_400


@dataclass
class Case:
    """`for_s` and `keep_s` in seconds; None: it never ends by itself. `between` neither raises nor ends it."""

    bad: dict
    good: dict
    for_s: float = 0
    keep_s: float | None = 0
    between: list = field(default_factory=list)


MINUTE, HOUR = 60, 3_600
CASES = {
    "gpu_driver_hung": Case({"hung": 1}, {"hung": 0}),
    "gpu_driver_mismatch": Case({"mismatch": 1}, {"mismatch": 0}),
    "gpus_missing": Case({"gpus_missing": 1}, {"gpus_missing": 0}, 0, MINUTE),
    "gpu_lost": Case({"lost": 1}, {"lost": 0}, 0, MINUTE),
    "gpu_xid_fatal": Case({"xid_fatal_new": 1, "xid_code": 79}, {"xid_fatal_new": 0}, 0, None),
    "gpu_xid_memory": Case({"xid_memory_new": 1}, {"xid_memory_new": 0}, 0, HOUR),
    "gpu_xid_app_often": Case({"xid_app_10m": 5}, {"xid_app_10m": 0}, 0, 5 * MINUTE, [{"xid_app_10m": 2}]),
    "gpu_xid_app": Case({"xid_app_new": 2}, {"xid_app_new": 0}, 0, 15 * MINUTE),
    "gpu_ecc_uncorrectable": Case({"ecc_uncorrectable": 1}, {"ecc_uncorrectable": 0}),
    "gpu_ecc_corrected": Case(
        {"ecc_corrected_per_hour": 101}, {"ecc_corrected_per_hour": 9}, 600, HOUR, [{"ecc_corrected_per_hour": 50}]
    ),
    "gpu_remap_failed": Case({"remap_failure": 1}, {"remap_failure": 0}),
    "gpu_remap_pending": Case({"remap_pending": 1}, {"remap_pending": 0}),
    "gpu_hot": Case({"slowdown_margin_c": 0}, {"slowdown_margin_c": 6}, 10, 120, [{"slowdown_margin_c": 5}]),
    "gpu_warm": Case({"slowdown_margin_c": 5}, {"slowdown_margin_c": 11}, 60, 120, [{"slowdown_margin_c": 10}]),
    "gpu_thermal_throttle": Case(
        {"throttle_thermal_share": 0.5},
        {"throttle_thermal_share": 0.05},
        60,
        300,
        [{"throttle_thermal_share": 0.2}],
    ),
    "gpu_power_brake": Case(
        {"throttle_brake_share": 0.9}, {"throttle_brake_share": 0.0}, 60, 900, [{"throttle_brake_share": 0.5}]
    ),
    "gpu_memory_full": Case(
        {"memory_used_share": 0.96, "reserved_by_engine": 0},
        {"memory_used_share": 0.91, "reserved_by_engine": 0},
        120,
        300,
        [{"memory_used_share": 0.94, "reserved_by_engine": 0}],
    ),
    "gpu_fan_stopped": Case(
        {"fan_share": 0.0, "temperature_c": 61},
        {"fan_share": 0.0, "temperature_c": 54},
        120,
        120,
        [{"fan_share": 0.0, "temperature_c": 58}],
    ),
    "gpu_nvlink_down": Case({"nvlink_down": 1}, {"nvlink_down": 0}, 0, 60),
    "gpu_nvlink_errors": Case({"nvlink_errors_new": 3}, {"nvlink_errors_new": 0}, 0, 900),
    "gpu_pcie_narrow": Case({"pcie_width_share": 0.5}, {"pcie_width_share": 1.0}, 300, 300),
    "gpu_pcie_replays": Case(
        {"pcie_replays_per_hour": 101}, {"pcie_replays_per_hour": 1}, 300, 300, [{"pcie_replays_per_hour": 50}]
    ),
    "gpu_idle_with_queue": Case({"idle_with_queue": 1}, {"idle_with_queue": 0}, 120, 60),
    "disk_hung": Case({"hung": 1}, {"hung": 0}, 0, 30),
    "disk_full": Case({"used_share": 0.95}, {"used_share": 0.91}, 30, 30, [{"used_share": 0.93}]),
    "disk_filling": Case({"used_share": 0.85}, {"used_share": 0.81}, 120, 300, [{"used_share": 0.83}]),
    "disk_full_soon": Case(
        {"full_in_s": 14_000, "used_share": 0.6},
        {"full_in_s": 22_000, "used_share": 0.6},
        120,
        300,
        [{"full_in_s": 20_000, "used_share": 0.6}],
    ),
    "disk_inodes": Case(
        {"inodes_used_share": 0.9}, {"inodes_used_share": 0.8}, 120, 300, [{"inodes_used_share": 0.88}]
    ),
    "memory_critical": Case(
        {"memory_available_share": 0.04}, {"memory_available_share": 0.09}, 30, 30, [{"memory_available_share": 0.06}]
    ),
    "memory_low": Case(
        {"memory_available_share": 0.09}, {"memory_available_share": 0.14}, 120, 120, [{"memory_available_share": 0.12}]
    ),
    "memory_pressure": Case(
        {"pressure_memory_full": 0.11}, {"pressure_memory_full": 0.04}, 120, 120, [{"pressure_memory_full": 0.07}]
    ),
    "cpu_pressure": Case(
        {"pressure_cpu_some": 0.61}, {"pressure_cpu_some": 0.39}, 300, 300, [{"pressure_cpu_some": 0.5}]
    ),
    "host_oom": Case({"oom_kills_new": 1}, {"oom_kills_new": 0}, 0, 900),
    "clock_wrong": Case({"clock_skew_s": 31}, {"clock_skew_s": 14}, 60, 60, [{"clock_skew_s": 20}]),
    "clock_skew": Case({"clock_skew_s": 1.1}, {"clock_skew_s": 0.4}, 60, 60, [{"clock_skew_s": 0.8}]),
    "docker_down": Case({"docker_down": 1}, {"docker_down": 0}, 10, 30),
    "engine_gave_up": Case({"gave_up": 1, "why": "x"}, {"gave_up": 0}, 0, 120),
    "engine_down": Case({"failed": 1, "why": "x"}, {"failed": 0}, 0, 120),
    "engine_looping": Case({"restarts_10m": 3}, {"restarts_10m": 0}, 0, 300, [{"restarts_10m": 1}]),
    "engine_oom": Case({"oom_kills_new": 1}, {"oom_kills_new": 0}, 0, 900),
    "engine_stuck": Case(
        {"busy_without_progress_s": 60}, {"busy_without_progress_s": 0}, 0, 30, [{"busy_without_progress_s": 10}]
    ),
    "engine_saturated": Case(
        {"kv_usage": 0.96, "waiting": 1}, {"kv_usage": 0.96, "waiting": 0}, 120, 300, [{"kv_usage": 0.9, "waiting": 1}]
    ),
    "engine_preempting": Case(
        {"preemptions_per_min": 1.1}, {"preemptions_per_min": 0.1}, 120, 300, [{"preemptions_per_min": 0.5}]
    ),
    "engine_slow": Case({"ttft_by_target": 1.1}, {"ttft_by_target": 0.7}, 300, 300, [{"ttft_by_target": 0.9}]),
    "engine_metrics_missing": Case({"page_misses": 3}, {"page_misses": 0}, 0, 0, [{"page_misses": 1}]),
    "collector_stale": Case({"late_intervals": 3}, {"late_intervals": 0.5}, 0, 0, [{"late_intervals": 2.5}]),
    "agent_over_budget": Case(
        {"memory_by_budget": 2.1}, {"memory_by_budget": 1.4}, 60, 300, [{"memory_by_budget": 1.7}]
    ),
    "agent_busy": Case({"cpu_by_budget": 2.1}, {"cpu_by_budget": 1.4}, 60, 300, [{"cpu_by_budget": 1.7}]),
    "spool_filling": Case({"spool_share": 0.8}, {"spool_share": 0.4}, 0, 0, [{"spool_share": 0.6}]),
    "alert_storm": Case({"held_back": 1}, {"held_back": 0}, 0, 60),
}
RULES = {rule.name: rule for rule in DEFAULT_RULES}


class Run:
    """One rule, one subject, a clock that is told."""

    def __init__(self, rule):
        self.rule, self.memory, self.now_s, self.heard = rule, Memory(), 0.0, []

    def see(self, figures, seconds, boot_id="one"):
        """The same figures for so long, a look each second; what a rule of events counts comes once."""
        once = {name: 0 if name.endswith("_new") else value for name, value in figures.items()}
        until = self.now_s + seconds
        while self.now_s < until:
            samples = Samples({self.rule.scope: {"it": figures}})
            moment = Moment(self.now_s, 1_000_000 + self.now_s, boot_id)
            self.memory, told = step(Rules((self.rule,)), self.memory, samples, moment)
            self.heard += [(self.now_s, one.state) for one in told]
            figures, self.now_s = once, self.now_s + 1


def test_every_default_rule_has_its_case():
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_fires_and_ends_at_its_times(name):
    case, run = CASES[name], Run(RULES[name])
    run.see(case.good, 5)
    run.see(case.bad, case.for_s + 2)
    assert run.heard == [(5 + case.for_s, "firing")]
    run.see({}, DAY // 24)
    for figures in case.between:
        run.see(figures, DAY // 24)
    assert len(run.heard) == 1, "what is not known, or lies between the thresholds, ends nothing"
    clear_at = run.now_s
    run.see(case.good, DAY // 8)
    if case.keep_s is None:
        assert len(run.heard) == 1
        run.see(case.good, 5, boot_id="two")
        assert run.heard[1:] == [(clear_at + DAY // 8, "resolved")]
    else:
        assert run.heard[1:] == [(clear_at + case.keep_s, "resolved")]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.for_s])
def test_it_is_silent_when_the_condition_breaks_off_too_early(name):
    case, run = CASES[name], Run(RULES[name])
    run.see(case.bad, case.for_s)
    run.see(case.good, 1)
    run.see(case.bad, case.for_s)
    assert run.heard == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.keep_s])
def test_it_goes_on_when_the_condition_comes_back_too_early(name):
    case, run = CASES[name], Run(RULES[name])
    run.see(case.bad, case.for_s + 1)
    run.see(case.good, case.keep_s - 1)
    run.see(case.bad, 1)
    run.see(case.good, case.keep_s - 1)
    assert [state for _, state in run.heard] == ["firing"]


@pytest.mark.parametrize("name", CASES)
def test_its_text_names_what_it_is_about(name):
    rule, run = RULES[name], Run(RULES[name])
    run.see(CASES[name].bad, CASES[name].for_s + 1)
    (alert,) = run.memory.alerts.values()
    assert alert.firing
    assert "{" not in alert.text
    assert rule.do
    wanted = CASES[name].bad[rule.when[0].signal]
    assert alert.value == wanted
