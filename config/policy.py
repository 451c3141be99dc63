"""What this machine allows, whoever signed it."""

from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Section

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class PolicySettings(Section):
    """Images, engine kinds, model sources and arguments that may be used here; everything else is refused."""

    images: tuple[Pattern, ...] = Field(
        default=(
            "vllm/vllm-openai@sha256:*",
            "vllm/vllm-openai-rocm@sha256:*",
            "vllm/vllm-openai-cpu@sha256:*",
            "ghcr.io/huggingface/text-generation-inference@sha256:*",
            "ghcr.io/ggml-org/llama.cpp@sha256:*",
            "lmsysorg/sglang@sha256:*",
        ),
        max_length=256,
        description="Patterns (* stands for anything but a slash) of images that may run; the default wants digests.",
    )
    kinds: tuple[Pattern, ...] = Field(
        default=("vllm", "tgi", "llamacpp", "sglang"), max_length=64, description="Engine kinds that may run."
    )
    sources: tuple[Pattern, ...] = Field(
        default=("hf://*",),
        max_length=256,
        description="Prefixes (with * at the end) of model sources that may be used.",
    )
    extra_args: tuple[Pattern, ...] = Field(
        default=(),
        max_length=256,
        description="Arguments that a command may add to an engine's own, by their name (--name); none by default.",
    )
    trust_remote_code: bool = Field(
        default=False, description="Whether an engine may run code that comes with a model."
    )
