"""What an engine should be: one serving container, in words that every engine kind shares."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from .base import Name, Part, ShortText
from .model_source import ModelSource

GIB = 1 << 30
Image = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._:/-]{0,200}(@sha256:[0-9a-f]{64})?\Z", max_length=300)
]
GpuId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00\n\r]{1,4096}\Z")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}\Z")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}\Z")]


class Gpus(Part):
    """Which GPUs: so many, or exactly these."""

    count: Annotated[int, Field(ge=0, le=64)] = 0
    uuids: Annotated[tuple[GpuId, ...], Field(max_length=64)] = ()
    memory_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None

    @property
    def wanted(self) -> int:
        """How many GPUs the engine gets."""
        return len(self.uuids) or self.count


class Probes(Part):
    """How patient the agent is."""

    start_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 900.0
    interval_s: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    timeout_s: Annotated[float, Field(ge=0.1, le=120)] = 5.0
    failures: Annotated[int, Field(ge=1, le=100)] = 6
    functional: bool = True


class RestartPolicy(Part):
    """What follows when the engine dies."""

    attempts: Annotated[int, Field(ge=0, le=1_000)] = 5
    within_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    backoff_min_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    backoff_max_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    retry_after_giving_up_s: Annotated[float, Field(ge=60, le=86_400)] = 900.0
    safe_mode: bool = False


class MultiNode(Part):
    """One rank of an engine across servers, in the engine's own way."""

    nodes: Annotated[int, Field(ge=2, le=64)]
    rank: Annotated[int, Field(ge=0, le=63)]
    head: ShortText
    """Address of rank 0, as the other ranks reach it."""
    port: Annotated[int, Field(ge=1_024, le=65_535)] = 29_500
    address: ShortText | None = None
    """This rank's own address, as the others reach it; None: the engine finds it."""

    @model_validator(mode="after")
    def _agrees(self) -> "MultiNode":
        if self.rank >= self.nodes:
            raise ValueError("multi_node.rank counts from 0 and is less than multi_node.nodes")
        return self


class Lora(Part):
    """One adapter, by the name under which it is served."""

    name: Name
    source: ModelSource


class EngineSpec(Part):
    """The whole intent; what a kind cannot do is refused with the reason when the command arrives."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,31}\Z")]
    image: Image
    model: ModelSource
    served_name: Word | None = None
    variant: Literal["auto", "cuda", "rocm", "cpu"] = "auto"
    gpus: Gpus = Gpus()
    cpus: Annotated[float, Field(gt=0, le=4_096)] | None = None
    memory_bytes: Annotated[int, Field(ge=16 << 20, le=1 << 50)] | None = None
    shm_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 44)] | None = None
    port: Annotated[int, Field(ge=1_024, le=65_535)] | None = None
    context_length: Annotated[int, Field(ge=16, le=1 << 24)] | None = None
    parallel: Annotated[int, Field(ge=1, le=65_536)] | None = None
    dtype: Word | None = None
    quantization: Word | None = None
    kv_cache_dtype: Word | None = None
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    pipeline_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    multi_node: MultiNode | None = None
    loras: Annotated[tuple[Lora, ...], Field(max_length=64)] = ()
    extra_args: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    env: Annotated[dict[EnvName, Argument], Field(max_length=64)] = Field(default_factory=dict)
    restart: RestartPolicy = RestartPolicy()
    probes: Probes = Probes()
    update: Literal["side_by_side", "stop_start", "auto"] = "auto"
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> "EngineSpec":
        if self.gpus.uuids and self.gpus.count not in {0, len(self.gpus.uuids)}:
            raise ValueError("gpus.count and gpus.uuids disagree")
        nodes = self.multi_node.nodes if self.multi_node else 1
        if self.gpus.wanted and self.tensor_parallel * self.pipeline_parallel > self.gpus.wanted * nodes:
            raise ValueError("tensor_parallel times pipeline_parallel is more than the GPUs asked for")
        names = [one.name for one in self.loras]
        if len({*names, self.served_name or self.model.model}) <= len(names):
            raise ValueError("every adapter has a name of its own, and none has the model's")
        if self.shm_bytes and self.memory_bytes and self.shm_bytes > self.memory_bytes:
            raise ValueError("shm_bytes is more than memory_bytes")
        return self

    @property
    def serves(self) -> bool:
        """Whether requests are sent to it: of an engine across servers only rank 0 takes them."""
        return self.multi_node is None or self.multi_node.rank == 0
