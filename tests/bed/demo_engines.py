"""The engines that the demo can show, with the image, the model and the words that each needs."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bed import llama_image, vllm_image
from tests.bed.hub import LocalHub

GIB = 1 << 30


@dataclass(frozen=True)
class DemoEngine:
    """One engine kind as the demo starts it."""

    kind: str
    image: Callable[[str], str]
    """Builds it in the Docker Engine at this host when it is absent; its name."""
    model: Callable[[LocalHub], str]
    """Puts a tiny one on the hub; its address."""
    words: tuple[str, ...]
    extra_args: tuple[str, ...] = ()
    """What the agent's policy must allow beyond its defaults."""
    ready_s: float = 60.0


ENGINES = {
    one.kind: one
    for one in (
        DemoEngine(
            "llamacpp",
            llama_image.ensure_image,
            lambda hub: hub.add_tiny_gguf("demo/tiny-llama", "tiny.gguf"),
            ("--context-length", "1024", "--parallel", "2"),
        ),
        DemoEngine(
            "vllm",
            vllm_image.ensure_image,
            lambda hub: hub.add_tiny_hf("demo/tiny-llama"),
            # The image has no compiler: what vLLM would compile for this machine it runs as it is.
            ("--context-length", "512", "--parallel", "2", "--memory-bytes", str(6 * GIB), "--arg=--enforce-eager"),
            ("--enforce-eager",),
            ready_s=300.0,
        ),
    )
}
