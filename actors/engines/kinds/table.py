"""The engine kinds: ours, and those that other packages bring by an entry point `mosalamaagent.engines`."""

from collections.abc import Mapping
from importlib.metadata import entry_points

import structlog

from actors.engines.errors import RefusedError
from protocol.messages.engine_spec import EngineSpec

from .base import Kind
from .llamacpp import LlamaCpp
from .sglang import Sglang
from .tgi import Tgi
from .vllm import Vllm

GROUP = "mosalamaagent.engines"


def known_kinds() -> Mapping[str, Kind]:
    """Name -> kind. Our own names cannot be taken, and a package that cannot be loaded costs only its own kind."""
    ours: dict[str, Kind] = {kind.traits.kind: kind for kind in (LlamaCpp(), Vllm(), Tgi(), Sglang())}
    found = dict(ours)
    for entry in entry_points(group=GROUP):
        try:
            kind = entry.load()()
            named = kind.traits.kind
        except Exception as error:  # noqa: BLE001  # somebody else's code: whatever it raises is a line of the log
            structlog.get_logger().error("engine.kind_not_loaded", kind=entry.name, why=f"{error!r}")
            continue
        if named != entry.name or named in ours:
            structlog.get_logger().error("engine.kind_refused", kind=entry.name, why=f"it calls itself {named}")
        else:
            found[named] = kind
    return found


def check_features(kind: Kind, spec: EngineSpec) -> None:
    """RefusedError for what this kind cannot do, with the reason."""
    asked = {
        "tensor_parallel": spec.tensor_parallel > 1,
        "pipeline_parallel": spec.pipeline_parallel > 1,
        "multi_node": spec.multi_node is not None,
        "lora": bool(spec.loras),
        "dtype": spec.dtype is not None,
        "quantization": spec.quantization is not None,
        "kv_cache_dtype": spec.kv_cache_dtype is not None,
        "memory_fraction": spec.gpus.memory_fraction is not None,
    }
    missing = [name for name, wanted in asked.items() if wanted and name not in kind.traits.features]
    if missing:
        name = kind.traits.kind
        raise RefusedError(
            "E_SPEC", f"{name} cannot do {', '.join(missing)}", "this kind of engine has no such thing", "leave it out"
        )
    if spec.variant not in {"auto", *kind.traits.variants}:
        raise RefusedError("E_SPEC", f"{kind.traits.kind} does not run on {spec.variant}", "", "take another variant")
