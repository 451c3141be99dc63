"""Latencies of an engine over the last minute, from what its histograms grew by. Pure; time is given.

A histogram counts since the engine's start; its own quantiles would tell of yesterday. Inside a bucket values are
taken as spread evenly; in the last, open one the lower edge stands for all. Fewer than five requests have none.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from .engine_schema import first_rank
from .exposition import Sample

SPAN_S = 60.0
OBSERVATIONS_MIN = 5
QUANTILES = {"p50": 0.50, "p95": 0.95}
SUM = float("-inf")
"""Stands among the edges for the sum of all values."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "ttft": ("vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds"),
    "itl": (
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
        "tgi_request_mean_time_per_token_duration",
    ),
    "e2e": ("vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds", "tgi_request_duration"),
}
SERIES = frozenset(f"{name}_{part}" for names in FIELDS.values() for name in names for part in ("bucket", "sum"))
"""Every series that is looked at."""

Buckets = dict[float, float]
"""Upper edge in seconds -> how many were at most that long, ever; SUM -> seconds of all of them."""


def read_buckets(samples: Iterable[Sample]) -> dict[str, Buckets]:
    """Field -> its histogram, summed over the page's series."""
    series: dict[str, Buckets] = {}
    for name, labels, value in samples:
        if name in SERIES and first_rank(labels):
            buckets = series.setdefault(name.rpartition("_")[0], {})
            edge = edge_of(name, labels)
            buckets[edge] = buckets.get(edge, 0.0) + value
    return {
        field: next(series[name] for name in names if name in series)
        for field, names in FIELDS.items()
        if any(name in series for name in names)
    }


def edge_of(name: str, labels: Mapping[str, str]) -> float:
    """What a series of a histogram counts for; ValueError: its edge is no number."""
    return SUM if name.endswith("_sum") else float(labels.get("le", "inf"))


def quantile(grown: Mapping[float, float], share: float) -> float | None:
    """The value below which that share lies; None when there are too few."""
    edges = sorted(edge for edge in grown if edge != SUM)
    total = grown[edges[-1]] if edges else 0.0
    if total < OBSERVATIONS_MIN:
        return None
    rank, below_edge, below = share * total, 0.0, 0.0
    for edge in edges:
        if grown[edge] >= rank:
            if edge == float("inf") or grown[edge] <= below:
                return below_edge
            return below_edge + (edge - below_edge) * (rank - below) / (grown[edge] - below)
        below_edge, below = edge, grown[edge]
    return below_edge


class Latencies:
    """One engine's histograms of the last minute."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, dict[str, Buckets]]] = deque(maxlen=256)

    def see(self, found: dict[str, Buckets], now_s: float) -> dict[str, float]:
        """A page's histograms; `ttft_p95_s`, `ttft_mean_s` and so on, as far as they can be said.

        A restart begins anew.
        """
        if self._kept and any(_reset(self._kept[-1][1].get(field, {}), found.get(field, {})) for field in FIELDS):
            self._kept.clear()
        self._kept.append((now_s, found))
        while len(self._kept) > 2 and self._kept[1][0] <= now_s - SPAN_S:
            self._kept.popleft()
        first = self._kept[0][1]
        figures: dict[str, float] = {}
        for field, buckets in found.items():
            before = first.get(field, {})
            if before is buckets or before == buckets:
                continue  # nothing came
            grown = {edge: count - before.get(edge, 0.0) for edge, count in buckets.items()}
            for name, share in QUANTILES.items():
                value = quantile(grown, share)
                if value is not None:
                    figures[f"{field}_{name}_s"] = round(value, 6)
            count = grown.get(float("inf"), 0.0)
            if count >= OBSERVATIONS_MIN and SUM in grown:
                figures[f"{field}_mean_s"] = round(grown[SUM] / count, 6)
        return figures


def _reset(before: Buckets, now: Buckets) -> bool:
    return before is not now and any(now.get(edge, 0.0) < count for edge, count in before.items())
