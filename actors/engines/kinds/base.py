"""What an engine kind says of itself. Pure: a kind reads a spec and facts, and decides words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.engines.errors import RefusedError
from protocol.messages.engine_spec import EngineSpec

MODEL_TARGET = "/models/model"
ADAPTERS_TARGET = "/models/adapters"
TMP = "rw,nosuid,nodev,size={size},mode=1777"


@dataclass(frozen=True, slots=True)
class Adapter:
    """One LoRA adapter: the name that it is served by, the names in its directory, and its rank if it is said there."""

    name: str
    files: tuple[str, ...]
    rank: int | None = None

    @property
    def target(self) -> str:
        """Its directory inside the container."""
        return f"{ADAPTERS_TARGET}/{self.name}"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The model on this machine: its directory, the names in it, and the adapters that go with it."""

    directory: str
    files: tuple[str, ...]
    size_bytes: int
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """What the spec does not say and the machine knows."""

    cpus: float
    memory_bytes: int
    gpus: tuple[str, ...] = ()
    """UUIDs that are leased to this engine."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """After `after_s` seconds of the stop, this signal."""

    after_s: float
    signal: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How one engine of a kind is run; the rest is the same for all kinds."""

    argv: tuple[str, ...]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    shm_bytes: int | None = None
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """Names on the metrics page, summed: `requests` that run or wait, `tokens` read and written since its start."""

    requests: tuple[str, ...]
    tokens: tuple[str, ...]


MODEL = "{model}"
"""In a canary's body: the name under which the model is served."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The smallest request that proves an engine: one token."""

    path: str = "/v1/completions"
    body: Mapping[str, Any] = field(
        default_factory=lambda: {"model": MODEL, "prompt": "a", "max_tokens": 1, "temperature": 0}
    )

    def body_for(self, spec: EngineSpec) -> Mapping[str, Any]:
        """The body for an engine of this spec."""
        served = spec.served_name or spec.model.model
        return {name: served if value == MODEL else value for name, value in self.body.items()}


@dataclass(frozen=True, slots=True)
class Traits:
    """What never changes for a kind."""

    kind: str
    health_path: str
    health_timeout_s: float
    metrics_path: str | None
    formats: tuple[str, ...]
    variants: tuple[str, ...]
    stop: tuple[StopStep, ...]
    features: frozenset[str] = frozenset()
    """Of tensor_parallel, pipeline_parallel, multi_node, lora, dtype, quantization, kv_cache_dtype, memory_fraction."""
    failures: tuple[tuple[str, str], ...] = ()
    """Text in the log -> name of the cause (failures.py)."""
    work: Work | None = None
    """None: nothing is concluded from its counters, and a drain waits for its deadline."""
    canary: Canary | None = field(default_factory=Canary)
    """None: it is never asked for a token."""


class Kind(Protocol):
    """One engine kind."""

    traits: Traits

    def launch(self, spec: EngineSpec, model: ModelFiles, machine: Machine) -> Launch:
        """How to run it; RefusedError says what this kind cannot do and why."""
        ...


def need_safetensors(kind: str, model: ModelFiles) -> None:
    """RefusedError unless the model and each adapter come as safetensors, an adapter with its adapter_config.json."""
    if not any(name.endswith(".safetensors") for name in model.files):
        why, do = "the model's version has none", "take llamacpp for GGUF files"
        raise RefusedError("E_MODEL", f"{kind} needs safetensors", why, do)
    for adapter in model.adapters:
        if "adapter_config.json" in adapter.files and any(name.endswith(".safetensors") for name in adapter.files):
            continue
        what = f"{kind} needs safetensors and adapter_config.json of adapter {adapter.name}"
        raise RefusedError("E_MODEL", what, "its version lacks them", "pull the adapter's whole repository")


def flag(name: str, value: object) -> tuple[str, ...]:
    """`name value`, or nothing when there is no value."""
    return () if value is None else (name, str(value))
