"""The full Docker request of each kind and variant: `python -m tests.actors.engines.golden_requests` writes them."""

import json
from pathlib import Path

from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.messages import Wanted
from actors.engines.replica.steps import World, make_request
from actors.engines.replica.weights import Weights
from actors.engines.request import docker_body
from actors.facts import LocalModel
from config.engines import EnginesSettings
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource

FOLDER = Path(__file__).with_name("golden")
GGUF = LocalModel("org/gguf", "c" * 40, "/models/org/gguf", ("m.gguf",), 1 << 30)
SAFE = LocalModel("org/safe", "c" * 40, "/models/org/safe", ("config.json", "model.safetensors"), 1 << 30)
GPUS = ("GPU-aaaa", "GPU-bbbb")
LORAS = tuple({"name": name, "source": {"uri": f"hf://org/{name}"}} for name in ("tone", "law"))
LIMITS = {"cpus": 4.0, "memory_bytes": 16 << 30, "context_length": 4_096, "parallel": 8}


def spec(kind, image, model, **fields):
    return EngineSpec(kind=kind, image=image, model=ModelSource(uri=f"hf://{model.model}"), **fields)


CASES = {
    "llamacpp-cpu": (spec("llamacpp", "ghcr.io/ggml-org/llama.cpp:server", GGUF, **LIMITS), GGUF, ()),
    "llamacpp-cuda": (
        spec("llamacpp", "ghcr.io/ggml-org/llama.cpp:server-cuda", GGUF, gpus={"count": 1}),
        GGUF,
        GPUS[:1],
    ),
    "vllm-cuda": (
        spec(
            "vllm",
            "vllm/vllm-openai:v1",
            SAFE,
            gpus={"count": 2, "memory_fraction": 0.9},
            tensor_parallel=2,
            dtype="bfloat16",
        ),
        SAFE,
        GPUS,
    ),
    "vllm-rocm": (spec("vllm", "vllm/vllm-openai-rocm:v1", SAFE, variant="rocm"), SAFE, ()),
    "vllm-cpu": (spec("vllm", "vllm/vllm-openai-cpu:v1", SAFE, variant="cpu", **LIMITS), SAFE, ()),
    "vllm-two-nodes": (
        spec(
            "vllm",
            "vllm/vllm-openai:v1",
            SAFE,
            gpus={"count": 2},
            multi_node={"nodes": 2, "rank": 1, "head": "10.0.0.1"},
        ),
        SAFE,
        GPUS,
    ),
    "vllm-rank-0": (
        spec(
            "vllm",
            "vllm/vllm-openai:v1",
            SAFE,
            gpus={"count": 2},
            tensor_parallel=2,
            pipeline_parallel=2,
            multi_node={"nodes": 2, "rank": 0, "head": "10.0.0.1", "address": "10.0.0.1"},
        ),
        SAFE,
        GPUS,
    ),
    "vllm-lora": (spec("vllm", "vllm/vllm-openai:v1", SAFE, gpus={"count": 1}, loras=LORAS), SAFE, GPUS[:1]),
    "sglang-lora": (spec("sglang", "lmsysorg/sglang:v0.5", SAFE, gpus={"count": 1}, loras=LORAS), SAFE, GPUS[:1]),
    "sglang-rank-1": (
        spec(
            "sglang",
            "lmsysorg/sglang:v0.5",
            SAFE,
            gpus={"count": 2},
            tensor_parallel=4,
            multi_node={"nodes": 2, "rank": 1, "head": "10.0.0.1"},
        ),
        SAFE,
        GPUS,
    ),
    "tgi-lora": (
        spec("tgi", "ghcr.io/huggingface/text-generation-inference:3", SAFE, gpus={"count": 1}, loras=LORAS),
        SAFE,
        GPUS[:1],
    ),
    "llamacpp-lora": (
        spec("llamacpp", "ghcr.io/ggml-org/llama.cpp:server", GGUF, loras=LORAS[:1], **LIMITS),
        GGUF,
        (),
    ),
    "tgi-cuda": (
        spec("tgi", "ghcr.io/huggingface/text-generation-inference:3", SAFE, gpus={"count": 1}),
        SAFE,
        GPUS[:1],
    ),
    "tgi-cpu": (
        spec("tgi", "ghcr.io/huggingface/text-generation-inference:3-intel-cpu", SAFE, variant="cpu"),
        SAFE,
        (),
    ),
    "sglang-cuda": (spec("sglang", "lmsysorg/sglang:v0.5", SAFE, gpus={"count": 2}, tensor_parallel=2), SAFE, GPUS),
}


def body(name):
    """The request of one case, as Docker gets it."""
    wanted_spec, model, gpus = CASES[name]
    machine = Machine(8.0, 64 << 30)
    world = World("agent", None, None, None, EnginesSettings(), machine, None)
    kind = known_kinds()[wanted_spec.kind]
    names = ("a.gguf",) if model is GGUF else ("adapter_config.json", "adapter_model.safetensors")
    adapters = tuple(
        (one.name, LocalModel(one.source.model, "c" * 40, f"/models/{one.source.model}", names, 1 << 20))
        for one in wanted_spec.loras
    )
    wanted = Wanted("chat", 7, wanted_spec, "0" * 32, gpus)
    return docker_body(make_request(world, wanted, kind, Weights(model, adapters), 18_000))


def text(name):
    return json.dumps(body(name), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for case in CASES:
        (FOLDER / f"{case}.json").write_text(text(case))
