"""SGLang. Facts: its documentation of the 0.5 series.

Its health answer runs one token when idle and may take 20 s; its image has no entry point, so all of it is given;
its default address is loopback, which inside a container reaches nobody.
"""

from protocol.messages.engine_spec import EngineSpec

from .base import MODEL_TARGET, Launch, Machine, ModelFiles, StopStep, Traits, Work, flag, need_safetensors

PORT = 30_000
DRAIN_S = 60.0
SHM_BYTES = 16 << 30
HEALTH_S = 25.0


class Sglang:
    """A directory of safetensors on NVIDIA or AMD."""

    traits = Traits(
        kind="sglang",
        health_path="/health",
        health_timeout_s=HEALTH_S,
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
            ("Please try to increase --mem-fraction-static", "kv_cache_too_small"),
            ("CUDA out of memory", "gpu_out_of_memory"),
            ("Watchdog timeout", "engine_dead"),
            ("Capture cuda graph failed", "gpu_out_of_memory"),
            ("SIGQUIT received", "engine_dead"),
            ("unrecognized arguments", "bad_flag"),
        ),
        work=Work(
            requests=("sglang:num_running_reqs", "sglang:num_queue_reqs"),
            tokens=("sglang:prompt_tokens_total", "sglang:generation_tokens_total"),
        ),
    )

    def launch(self, spec: EngineSpec, model: ModelFiles, machine: Machine) -> Launch:
        """See Kind."""
        del machine
        need_safetensors("SGLang", model)
        nodes = spec.multi_node
        argv = (
            *("python3", "-m", "sglang.launch_server", "--model-path", MODEL_TARGET),
            *flag("--served-model-name", spec.served_name or spec.model.model),
            *("--host", "0.0.0.0", "--port", str(PORT), "--enable-metrics"),  # noqa: S104  # inside the container
            *flag("--tp-size", spec.tensor_parallel if spec.tensor_parallel > 1 else None),
            *flag("--pp-size", spec.pipeline_parallel if spec.pipeline_parallel > 1 else None),
            *flag("--context-length", spec.context_length),
            *flag("--max-running-requests", spec.parallel),
            *flag("--dtype", spec.dtype),
            *flag("--quantization", spec.quantization),
            *flag("--kv-cache-dtype", spec.kv_cache_dtype),
            *flag("--mem-fraction-static", spec.gpus.memory_fraction),
            *(() if nodes is None else ("--nnodes", str(nodes.nodes), "--node-rank", str(nodes.rank))),
            *(() if nodes is None else ("--dist-init-addr", f"{nodes.head}:{nodes.port}")),
            *_adapters(model),
            *(("--trust-remote-code",) if spec.trust_remote_code else ()),
            *spec.extra_args,
        )
        return Launch(
            argv=argv,
            port=PORT,
            env={"HOME": "/cache", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            tmpfs={
                "/tmp": "rw,exec,nosuid,nodev,size=4g,mode=1777",  # inside the container
                "/cache": "rw,exec,nosuid,nodev,size=8g,mode=1777",
            },
            shm_bytes=SHM_BYTES,
        )


def _adapters(model: ModelFiles) -> tuple[str, ...]:
    """Each is asked for by its name; ranks are read from the adapters by the engine itself."""
    paths = [f"{adapter.name}={adapter.target}" for adapter in model.adapters]
    return ("--enable-lora", "--lora-paths", *paths) if paths else ()
