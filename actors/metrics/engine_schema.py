"""Every kind's metrics page in one schema. Names are data; the first that is there wins.

Counters and gauges of data-parallel series are summed, shares take the highest; of tensor-parallel series only rank 0
counts, since every rank repeats the same.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from .engine_latency import RANK_LABELS
from .exposition import Sample

Rule = Literal["sum", "max"]

FIELDS: Mapping[str, tuple[Rule, tuple[str, ...]]] = {
    "running": (
        "sum",
        (
            "vllm:num_requests_running",
            "sglang:num_running_reqs",
            "tgi_batch_current_size",
            "llamacpp:requests_processing",
        ),
    ),
    "waiting": (
        "sum",
        ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "tgi_queue_size", "llamacpp:requests_deferred"),
    ),
    "kv_usage": (
        "max",
        (
            "vllm:kv_cache_usage_perc",
            "vllm:gpu_cache_usage_perc",
            "sglang:token_usage",
            "llamacpp:kv_cache_usage_ratio",
        ),
    ),
    "prompt_tokens_total": (
        "sum",
        (
            "vllm:prompt_tokens_total",
            "sglang:prompt_tokens_total",
            "tgi_request_input_length_sum",
            "llamacpp:prompt_tokens_total",
        ),
    ),
    "generated_tokens_total": (
        "sum",
        (
            "vllm:generation_tokens_total",
            "sglang:generation_tokens_total",
            "tgi_request_generated_tokens_sum",
            "llamacpp:tokens_predicted_total",
        ),
    ),
    "preemptions_total": ("sum", ("vllm:num_preemptions_total",)),
    "requests_total": ("sum", ("vllm:request_success_total", "sglang:num_requests_total", "tgi_request_count")),
    "requests_failed_total": ("sum", ("sglang:num_aborted_requests_total", "tgi_request_failure")),
}
_NAMES = {name for _, candidates in FIELDS.values() for name in candidates}


def read_page(samples: Iterable[Sample]) -> dict[str, float]:
    """The fields that the page has."""
    series: dict[str, list[float]] = {}
    for name, labels, value in samples:
        if name in _NAMES and all(labels.get(rank, "0") == "0" for rank in RANK_LABELS):
            series.setdefault(name, []).append(value)
    found: dict[str, float] = {}
    for field, (rule, candidates) in FIELDS.items():
        values = next((series[name] for name in candidates if name in series), None)
        if values is not None:
            found[field] = max(values) if rule == "max" else sum(values)
    return found


def rates(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Tokens a second from two pages; nothing after a reset of the counter."""
    found: dict[str, float] = {}
    for field in ("prompt_tokens", "generated_tokens"):
        first, second = before.get(f"{field}_total"), now.get(f"{field}_total")
        if first is not None and second is not None and second >= first and seconds > 0:
            found[f"{field}_per_s"] = round((second - first) / seconds, 3)
    return found
