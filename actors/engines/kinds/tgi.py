"""Text Generation Inference. Facts: its sources at 3.3.7; it is in maintenance.

Its entry point splits and expands arguments, so values go by environment. Its image runs only as root.
"""

from actors.engines.errors import RefusedError
from protocol.messages.engine_spec import EngineSpec

from .base import MODEL_TARGET, Canary, Launch, Machine, ModelFiles, StopStep, Traits, Work, need_safetensors

PORT = 8080
DRAIN_S = 95.0
SHM_BYTES = 1 << 30


class Tgi:
    """A directory of safetensors; shards on one server."""

    traits = Traits(
        kind="tgi",
        health_path="/health",
        health_timeout_s=10.0,
        metrics_path="/metrics",
        formats=("safetensors",),
        variants=("cuda", "rocm", "cpu"),
        stop=(StopStep(0.0, "SIGTERM"), StopStep(DRAIN_S, "SIGKILL")),
        features=frozenset({"tensor_parallel", "lora", "dtype", "quantization", "kv_cache_dtype", "memory_fraction"}),
        failures=(
            ("was signaled to shutdown with signal 9", "host_out_of_memory"),
            ("CUDA out of memory", "gpu_out_of_memory"),
            ("Not enough memory to handle", "kv_cache_too_small"),
            ("Unsupported model type", "unsupported_model"),
            ("No safetensors weights found", "missing_file"),
            ("not enough cuda devices", "no_gpu"),
            ("Failed to bind to", "port_taken"),
            ("ArgumentValidation", "bad_flag"),
        ),
        work=Work(
            requests=("tgi_batch_current_size", "tgi_queue_size"),
            tokens=("tgi_request_input_length_sum", "tgi_request_generated_tokens_sum", "tgi_batch_inference_count"),
        ),
        canary=Canary("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 1}}),
    )

    def launch(self, spec: EngineSpec, model: ModelFiles, machine: Machine) -> Launch:
        """See Kind."""
        need_safetensors("TGI", model)
        if spec.dtype and spec.quantization:
            raise RefusedError("E_SPEC", "TGI takes dtype or quantization", "both were given", "leave one out")
        env = {
            "MODEL_ID": MODEL_TARGET,
            "PORT": str(PORT),
            "HOSTNAME": "0.0.0.0",  # noqa: S104  # inside the container; published on loopback
            "NUM_SHARD": str(max(1, spec.tensor_parallel)),
            "HF_HUB_OFFLINE": "1",
            "USAGE_STATS": "off",
            "JSON_OUTPUT": "true",
            "HF_HOME": "/data",
        }
        wanted = {
            "MAX_TOTAL_TOKENS": spec.context_length,
            "MAX_CONCURRENT_REQUESTS": spec.parallel,
            "DTYPE": spec.dtype,
            "QUANTIZE": spec.quantization,
            "KV_CACHE_DTYPE": spec.kv_cache_dtype,
            "CUDA_MEMORY_FRACTION": spec.gpus.memory_fraction,
            "LORA_ADAPTERS": ",".join(f"{adapter.name}={adapter.target}" for adapter in model.adapters) or None,
            "TRUST_REMOTE_CODE": "true" if spec.trust_remote_code else None,
        }
        env |= {name: str(value) for name, value in wanted.items() if value is not None}
        cpu = () if machine.gpus else ("--disable-custom-kernels",)
        return Launch(
            argv=(*cpu, *spec.extra_args),
            port=PORT,
            env=env,
            tmpfs={
                "/tmp": "rw,exec,nosuid,nodev,size=2g,mode=1777",  # inside the container
                "/data": "rw,exec,nosuid,nodev,size=4g,mode=1777",
            },
            shm_bytes=SHM_BYTES,
        )
