import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.metrics.engine_latency import Latencies, quantile, read_buckets
from actors.metrics.exposition import parse

VLLM = Path(__file__).with_name("vllm_0.32.0.prom")
EDGES = (0.01, 0.1, 1.0, 10.0, float("inf"))


def counted(values):
    return {edge: float(sum(value <= edge for value in values)) for edge in EDGES}


def test_the_recorded_page_has_its_histograms():
    found = read_buckets(parse(VLLM.read_text()))
    assert found.keys() == {"ttft", "itl", "e2e"}
    assert found["ttft"][float("inf")] == 1
    assert found["itl"][0.025] == 15


def test_series_of_engines_are_summed_and_ranks_are_not():
    page = "".join(
        f'sglang:time_to_first_token_seconds_bucket{{le="{edge}",dp="{dp}",tp_rank="{rank}"}} 2\n'
        for edge in ("1", "+Inf")
        for dp in (0, 1)
        for rank in (0, 1)
    )
    assert read_buckets(parse(page)) == {"ttft": {1.0: 4.0, float("inf"): 4.0}}


def test_only_the_last_minute_counts_and_a_restart_begins_anew():
    latencies = Latencies()
    slow, fast = [5.0] * 100, [0.05] * 100
    assert latencies.see({"ttft": counted(slow)}, 0.0) == {}
    assert latencies.see({"ttft": counted(slow + slow)}, 30.0)["ttft_p50_s"] > 1
    for at in (60.0, 90.0):
        figures = latencies.see({"ttft": counted(slow + slow + fast)}, at)
    assert figures["ttft_p95_s"] < 0.1
    assert latencies.see({"ttft": counted(fast[:10])}, 95.0) == {}
    assert latencies.see({"ttft": counted(fast[:14])}, 100.0) == {}, "four are too few"
    assert latencies.see({"ttft": counted(fast[:15])}, 105.0)["ttft_p50_s"] < 0.1


@given(st.lists(st.floats(0.001, 9.99), min_size=5, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_in_the_bucket_of_the_real_one(values, share):
    real = sorted(values)[max(0, -(-int(share * 1000 * len(values)) // 1000) - 1)]
    found = quantile(counted(values), share)
    low = max([0.0, *(edge for edge in EDGES if edge < real)])
    high = min(edge for edge in EDGES if edge >= real)
    assert low <= found <= high


def test_evenly_spread_values_have_their_own_quantiles():
    rng = random.Random(3)
    values = [rng.uniform(0.1, 1.0) for _ in range(20_000)]
    assert quantile(counted(values), 0.95) == pytest.approx(0.955, abs=0.01)


def test_what_lies_beyond_the_last_edge_is_at_least_that_long():
    assert quantile(counted([50.0] * 10), 0.5) == 10.0
