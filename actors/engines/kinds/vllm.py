"""vLLM. Facts: the project's documentation up to 0.32, and runs of 0.32.0 on CPU in a hardened container.

Its server opens only when the engine is ready: refused means loading. Caches of compiled kernels are loaded as code, so
its temporary space must not be noexec. The model is given by flag, which holds for both entry points of its images.
"""

from protocol.messages.engine_spec import EngineSpec

from .base import MODEL_TARGET, Launch, Machine, ModelFiles, StopStep, Traits, Work, flag, need_safetensors

PORT = 8000
DRAIN_S = 60.0
SHM_BYTES = 8 << 30
GIB = 1 << 30
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank may be."""
LORAS_AT_ONCE = 4
"""Adapters in one batch; each takes its place in the GPU's memory."""


class Vllm:
    """A directory of safetensors on NVIDIA, AMD or CPU."""

    traits = Traits(
        kind="vllm",
        health_path="/health",
        health_timeout_s=5.0,
        metrics_path="/metrics",
        formats=("safetensors",),
        variants=("cuda", "rocm", "cpu"),
        stop=(StopStep(0.0, "SIGTERM"), StopStep(DRAIN_S, "SIGKILL")),
        features=frozenset(
            {
                "tensor_parallel",
                "pipeline_parallel",
                "multi_node",
                "lora",
                "dtype",
                "quantization",
                "kv_cache_dtype",
                "memory_fraction",
            }
        ),
        failures=(
            ("is less than desired GPU memory utilization", "gpu_memory_taken"),
            ("No available memory for the cache blocks", "kv_cache_too_small"),
            ("larger than the maximum number of tokens that can be stored in KV cache", "kv_cache_too_small"),
            ("CUDA out of memory", "gpu_out_of_memory"),
            ("Error while deserializing header", "corrupt_file"),
            ("Weight files referenced in index but missing", "missing_file"),
            ("are not supported for now", "unsupported_model"),
            ("failed to be inspected", "unsupported_model"),
            ("Failed to infer device type", "no_gpu"),
            ("NCCL error", "nccl"),
            ("unrecognized arguments", "bad_flag"),
            ("invalid choice", "bad_flag"),
            ("is greater than the derived max_model_len", "bad_flag"),
            ("EngineDeadError", "engine_dead"),
        ),
        work=Work(
            requests=("vllm:num_requests_running", "vllm:num_requests_waiting"),
            tokens=("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
        ),
    )

    def launch(self, spec: EngineSpec, model: ModelFiles, machine: Machine) -> Launch:
        """See Kind."""
        need_safetensors("vLLM", model)
        variant = "cuda" if machine.gpus and spec.variant == "auto" else spec.variant
        argv = (
            *flag("--model", MODEL_TARGET),
            *flag("--served-model-name", spec.served_name or spec.model.model),
            *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104  # inside the container; published on loopback
            *flag("--tensor-parallel-size", spec.tensor_parallel if spec.tensor_parallel > 1 else None),
            *flag("--pipeline-parallel-size", spec.pipeline_parallel if spec.pipeline_parallel > 1 else None),
            *flag("--max-model-len", spec.context_length),
            *flag("--max-num-seqs", spec.parallel),
            *flag("--dtype", spec.dtype),
            *flag("--quantization", spec.quantization),
            *flag("--kv-cache-dtype", spec.kv_cache_dtype),
            *flag("--gpu-memory-utilization", spec.gpus.memory_fraction),
            *_nodes(spec),
            *_adapters(model),
            *(("--trust-remote-code",) if spec.trust_remote_code else ()),
            *spec.extra_args,
        )
        env = {
            "HOME": "/cache",
            "VLLM_CACHE_ROOT": "/cache/vllm",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }
        if variant == "cpu" or not machine.gpus:
            env["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, int((spec.memory_bytes or machine.memory_bytes) * 0.2) // GIB))
        if spec.multi_node is not None and spec.multi_node.address is not None:
            env["VLLM_HOST_IP"] = spec.multi_node.address
        rocm = variant == "rocm"
        return Launch(
            argv=argv,
            port=PORT,
            env=env,
            tmpfs={
                "/tmp": "rw,exec,nosuid,nodev,size=4g,mode=1777",  # inside the container
                "/cache": "rw,exec,nosuid,nodev,size=8g,mode=1777",
            },
            shm_bytes=SHM_BYTES if spec.tensor_parallel > 1 else None,
            devices=("/dev/kfd", "/dev/dri") if rocm else (),
            groups=("video", "render") if rocm else (),
        )


def _nodes(spec: EngineSpec) -> tuple[str, ...]:
    """Several servers without Ray: the engine's own way."""
    nodes = spec.multi_node
    if nodes is None:
        return ()
    words = ("--nnodes", str(nodes.nodes), "--node-rank", str(nodes.rank), "--master-addr", nodes.head)
    return (*words, "--master-port", str(nodes.port), *(("--headless",) if nodes.rank else ()))


def _adapters(model: ModelFiles) -> tuple[str, ...]:
    """Each is asked for by its name as the model."""
    if not model.adapters:
        return ()
    most = max(adapter.rank or 0 for adapter in model.adapters)
    rank = next((one for one in LORA_RANKS if one >= most), None) if most else None
    modules = [f"{adapter.name}={adapter.target}" for adapter in model.adapters]
    at_once = str(min(len(modules), LORAS_AT_ONCE))
    return ("--enable-lora", "--max-loras", at_once, *flag("--max-lora-rank", rank), "--lora-modules", *modules)
