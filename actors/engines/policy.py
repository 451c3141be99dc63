"""What this machine allows, whoever signed it. Pure."""

import re
from collections.abc import Iterable, Mapping

from config.policy import PolicySettings
from protocol.messages.engine_spec import EngineSpec

from .errors import RefusedError

FORBIDDEN_ENV = frozenset(
    {
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "CUDA_INJECTION64_PATH",
        "CUDA_VISIBLE_DEVICES",
        "GIT_SSH_COMMAND",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    }
)
"""Variables that would load code, choose devices or move traffic."""
FORBIDDEN_IMAGE_ENV = frozenset({"LD_PRELOAD", "LD_AUDIT", "CUDA_INJECTION64_PATH"})
"""Variables that no image may bring: they reach privileged hooks of container toolkits (CVE-2025-23266)."""
ALLOWED_ENV_PREFIXES = ("VLLM_", "SGLANG_", "LLAMA_ARG_", "TGI_", "NCCL_", "GLOO_", "OMP_", "TORCH_", "HF_HUB_OFFLINE")


def check_spec(policy: PolicySettings, spec: EngineSpec) -> None:
    """RefusedError for the first thing in the spec that this machine does not allow."""
    _need(spec.kind in policy.kinds, ".kind", f"engine kind {spec.kind}", "policy.kinds")
    _need(_matches(policy.images, spec.image), ".image", f"image {spec.image}", "policy.images")
    for source in (spec.model, *(lora.source for lora in spec.loras)):
        _need(source_allowed(policy, source.uri), ".url", f"model source {source.uri}", "policy.sources")
    if spec.trust_remote_code:
        _need(policy.trust_remote_code, ".arg", "code that comes with a model", "policy.trust_remote_code")
    allowed = set(policy.extra_args)
    for argument in spec.extra_args:
        name = argument.partition("=")[0]
        if name.startswith("-"):
            _need(name in allowed, ".arg", f"argument {name}", "policy.extra_args")
    for name in spec.env:
        _need(_env_allowed(name), ".env", f"variable {name}", "none: it could load code or move traffic")


def source_allowed(policy: PolicySettings, uri: str) -> bool:
    """Whether a model may come from there; a pattern without a star means exactly that address."""
    return any(uri.startswith(item[:-1]) if item.endswith("*") else uri == item for item in policy.sources)


def check_image_env(image: str, env: Mapping[str, str]) -> None:
    """RefusedError when the image itself brings a variable that no container may have."""
    found = sorted(FORBIDDEN_IMAGE_ENV & set(env))
    if found:
        raise RefusedError(
            "E_POLICY.env", f"image {image} was not run", f"it sets {', '.join(found)}", "take another image"
        )


def _env_allowed(name: str) -> bool:
    return name not in FORBIDDEN_ENV and name.startswith(ALLOWED_ENV_PREFIXES)


def _matches(patterns: Iterable[str], image: str) -> bool:
    """A star stands for anything but a slash, so that a look-alike host or path does not match."""
    return any(re.fullmatch(re.escape(item).replace(r"\*", "[^/]*"), image) for item in patterns)


def _need(good: bool, suffix: str, what: str, where: str) -> None:
    if not good:
        raise RefusedError(
            f"E_POLICY{suffix}",
            f"{what} is not allowed on this machine",
            "its own policy decides",
            f"allow it in {where}",
        )
