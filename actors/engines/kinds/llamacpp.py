"""llama.cpp's server. Facts: the project's own server documentation, and runs of build 11669 (version 0.7.0).

It ignores SIGTERM as process 1 while loading (so an init is always there), and hangs on one SIGTERM with an open
request: a second one ends it. Its default port has changed, so host and port are always said.
"""

from actors.engines.errors import RefusedError
from protocol.messages.engine_spec import EngineSpec

from .base import MODEL_TARGET, Launch, Machine, ModelFiles, StopStep, Traits, Work, flag

PORT = 8080
PROMPT_CACHE_SHARE = 0.1
MIB = 1 << 20


class LlamaCpp:
    """One GGUF file, CPU or GPU."""

    traits = Traits(
        kind="llamacpp",
        health_path="/health",
        health_timeout_s=5.0,
        metrics_path="/metrics",
        formats=("gguf",),
        variants=("cpu", "cuda", "rocm"),
        stop=(StopStep(0.0, "SIGTERM"), StopStep(2.0, "SIGTERM"), StopStep(5.0, "SIGKILL")),
        features=frozenset({"kv_cache_dtype", "lora"}),
        failures=(
            ("failed to open GGUF file", "missing_file"),
            ("failed to read magic", "corrupt_file"),
            ("invalid magic characters", "corrupt_file"),
            ("unknown model architecture", "unsupported_model"),
            ("model is corrupted or incomplete", "corrupt_file"),
            ("couldn't bind HTTP server socket", "port_taken"),
            ("error: invalid argument", "bad_flag"),
            ("error while handling argument", "bad_flag"),
            ("out of memory", "gpu_out_of_memory"),
            ("exiting due to model loading error", "corrupt_file"),
        ),
        work=Work(
            requests=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
            tokens=("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:n_decode_total"),
        ),
    )

    def launch(self, spec: EngineSpec, model: ModelFiles, machine: Machine) -> Launch:
        """See Kind."""
        file = _gguf(spec, model)
        argv = (
            *flag("--model", f"{MODEL_TARGET}/{file}"),
            *flag("--alias", spec.served_name or spec.model.model),
            *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104  # inside the container; published on loopback
            *("--metrics", "--no-ui", "--offline"),
            *flag("--ctx-size", spec.context_length),
            *flag("--parallel", spec.parallel),
            *flag("--threads", max(1, int(spec.cpus or machine.cpus))),
            *flag("--cache-type-k", spec.kv_cache_dtype),
            *flag("--cache-ram", _cache_mib(spec)),
            *(("--n-gpu-layers", "999") if machine.gpus else ()),
            *_adapter(model),
            *spec.extra_args,
        )
        return Launch(
            argv=argv,
            port=PORT,
            env={"HOME": "/tmp"},
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},
            user="65532:65532",
        )  # inside the container


def _cache_mib(spec: EngineSpec) -> int | None:
    """The prompt cache takes 8 GiB of host memory by default: within a limit it gets a share of it."""
    return None if spec.memory_bytes is None else int(spec.memory_bytes * PROMPT_CACHE_SHARE) // MIB


def _gguf(spec: EngineSpec, model: ModelFiles) -> str:
    """The one file to load: the named one, or the first part of the only one there is."""
    wanted = spec.model.file
    if wanted is not None:
        if wanted in model.files:
            return wanted
        raise RefusedError(
            "E_MODEL",
            f"llama.cpp cannot load {wanted}",
            "the model's version has no such file",
            "name one of its files",
        )
    found = sorted(name for name in model.files if name.endswith(".gguf"))
    first = [name for name in found if "-of-" not in name or "-00001-of-" in name]
    if len(first) == 1:
        return first[0]
    why = "the version has no GGUF file" if not first else f"the version has {len(first)} GGUF files"
    raise RefusedError("E_MODEL", "llama.cpp needs one GGUF file", why, "name the file: hf://ORG/REPO:FILE.gguf")


def _adapter(model: ModelFiles) -> tuple[str, ...]:
    """One at most: llama.cpp lays every adapter over every request, and chooses none by the name that is asked for."""
    if len(model.adapters) > 1:
        why = "it lays each over every request, and chooses none by name"
        raise RefusedError("E_SPEC", "llama.cpp takes one adapter", why, "start an engine for each, or take vllm")
    for adapter in model.adapters:
        found = sorted(name for name in adapter.files if name.endswith(".gguf"))
        if len(found) != 1:
            why = f"the version of adapter {adapter.name} has {len(found)} GGUF files"
            raise RefusedError(
                "E_MODEL", "llama.cpp needs one GGUF file", why, "name the file: hf://ORG/REPO:FILE.gguf"
            )
        return ("--lora", f"{adapter.target}/{found[0]}")
    return ()
