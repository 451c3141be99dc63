"""Every kind's metrics page in one schema. Names are data; the first that is there wins, and settings may add more.

Counters and gauges of data-parallel series are summed, shares take the highest; of tensor-parallel series only rank 0
counts, since every rank repeats the same. Names: vLLM 0.6 to 0.32, SGLang 0.4, TGI 3, llama.cpp's server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from .exposition import Sample

Rule = Literal["sum", "max"]
Names = Mapping[str, Sequence[str]]

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
    "preemptions_total": ("sum", ("vllm:num_preemptions_total", "sglang:num_retracted_reqs_total")),
    "requests_total": ("sum", ("vllm:request_success_total", "sglang:num_requests_total", "tgi_request_count")),
    "requests_failed_total": ("sum", ("sglang:num_aborted_requests_total", "tgi_request_failure")),
}
RESULT_LABELS: Mapping[str, str] = {"vllm:request_success_total": "finished_reason"}
"""Series -> the label that says how a request ended."""


def fields_with(more: Names) -> dict[str, tuple[Rule, tuple[str, ...]]]:
    """The schema with names from the settings, which are tried first."""
    return {field: (rule, (*more.get(field, ()), *names)) for field, (rule, names) in FIELDS.items()}


def names_of(fields: Mapping[str, tuple[Rule, tuple[str, ...]]]) -> frozenset[str]:
    """Every series that the schema looks at."""
    return frozenset(name for _, names in fields.values() for name in names)


def first_rank(labels: Mapping[str, str]) -> bool:
    """Whether a series counts: every rank of one tensor-parallel or pipelined engine repeats it."""
    return labels.get("tp_rank", "0") == "0" and labels.get("pp_rank", "0") == "0"


def read_page(
    samples: Iterable[Sample], fields: Mapping[str, tuple[Rule, tuple[str, ...]]] = FIELDS
) -> dict[str, float]:
    """The fields that the page has; `requests.RESULT_total` where it says how requests ended."""
    series: dict[str, list[float]] = {}
    results: dict[str, float] = {}
    for name, labels, value in samples:
        if not first_rank(labels):
            continue
        series.setdefault(name, []).append(value)
        label = RESULT_LABELS.get(name)
        if label is not None:
            key = f"requests.{labels.get(label, 'other')}_total"
            results[key] = results.get(key, 0.0) + value
    found: dict[str, float] = {}
    for field, (rule, candidates) in fields.items():
        for name in candidates:
            values = series.get(name)
            if values is not None:
                found[field] = max(values) if rule == "max" else sum(values)
                break
    return found | results


def rates(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Tokens a second from two pages; nothing after a reset of the counter."""
    found: dict[str, float] = {}
    for field in ("prompt_tokens", "generated_tokens"):
        first, second = before.get(f"{field}_total"), now.get(f"{field}_total")
        if first is not None and second is not None and second >= first and seconds > 0:
            found[f"{field}_per_s"] = round((second - first) / seconds, 3)
    return found
