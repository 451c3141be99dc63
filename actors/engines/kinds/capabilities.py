"""What each kind can do, as a table for the documentation: made from the adapters, so it cannot say something else."""

from collections.abc import Mapping

from .base import Kind

FEATURES = (
    "tensor_parallel",
    "pipeline_parallel",
    "multi_node",
    "lora",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "memory_fraction",
)


def rows(kinds: Mapping[str, Kind]) -> list[tuple[str, ...]]:
    """The heading, then one row for each property."""
    names = sorted(kinds)
    traits = [kinds[name].traits for name in names]
    stops = [" then ".join(f"{step.signal} at {step.after_s:g} s" for step in one.stop) for one in traits]
    return [
        ("", *names),
        ("runs on", *(", ".join(one.variants) for one in traits)),
        ("loads", *(", ".join(one.formats) for one in traits)),
        *((f"`{name}`", *("yes" if name in one.features else "refused" for one in traits)) for name in FEATURES),
        ("health", *(f"`{one.health_path}`, {one.health_timeout_s:g} s" for one in traits)),
        ("metrics", *(f"`{one.metrics_path}`" if one.metrics_path else "none" for one in traits)),
        ("drain by its own counters", *("yes" if one.work else "by its connections" for one in traits)),
        ("one token is asked at", *(f"`{one.canary.path}`" if one.canary else "never" for one in traits)),
        ("stop", *stops),
        ("causes read from its log", *(str(len({name for _, name in one.failures})) for one in traits)),
    ]


def table(kinds: Mapping[str, Kind]) -> str:
    """The same in Markdown."""
    heading, *rest = rows(kinds)
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rest)]) + "\n"
