"""The bed as one thing: engine, registry, image and models, each brought up when first asked for."""

import functools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.bed import llama_image, odd_engine, tiny_gguf, tiny_hf, vllm_image
from tests.bed.docker_engine import DockerEngine
from tests.bed.hub import LocalHub
from tests.bed.places import folder, locked, prune_logs
from tests.bed.registry import Registry

IMAGE_IN_REGISTRY = "llama-server"


class Bed:
    """Use it as a context manager: everything that was brought up is stopped at the end, last first."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        prune_logs()

    @functools.cached_property
    def engine(self) -> DockerEngine:
        """The Docker Engine."""
        return self._stack.enter_context(DockerEngine())

    @functools.cached_property
    def registry(self) -> Registry:
        """An image registry."""
        return self._stack.enter_context(Registry())

    @functools.cached_property
    def llama_image(self) -> str:
        """Name and tag of the llama.cpp server image in the engine."""
        return llama_image.ensure_image(self.engine.host)

    @functools.cached_property
    def odd_image(self) -> str:
        """Name and tag of the image of an engine that misbehaves on demand."""
        return odd_engine.ensure_image(self.engine.host)

    @functools.cached_property
    def llama_digest(self) -> str:
        """The same image by digest, pushed to the registry: 127.0.0.1:PORT/llama-server@sha256:..."""
        return self.registry.push(self.engine.host, self.llama_image, IMAGE_IN_REGISTRY)

    @functools.cached_property
    def vllm_image(self) -> str:
        """Name and tag of the vLLM server image (CPU) in the engine; some minutes when it is absent."""
        return vllm_image.ensure_image(self.engine.host)

    @functools.cached_property
    def hub(self) -> LocalHub:
        """An empty hub in a temporary folder."""
        root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bed-hub-")))
        return self._stack.enter_context(LocalHub(root))

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def tiny_model(kind: str = "model") -> Path:
    """A tiny GGUF model of a kind in tiny_gguf.KINDS, made once in a checkout; read it, do not change it."""
    path = folder("cache", "models") / f"{kind}-{_stamp(tiny_gguf.__file__)}.gguf"
    with locked("models"):
        return path if path.exists() else tiny_gguf.write(path, kind)


def tiny_repository() -> Path:
    """A tiny model repository in the Hugging Face layout, made once in a checkout; do not change it."""
    path = folder("cache", "models") / f"hf-{_stamp(tiny_hf.__file__)}"
    with locked("models"):
        return path if path.exists() else tiny_hf.write(path)


def _stamp(source: str) -> str:
    """Changes when the program that writes the model does."""
    return str(Path(source).stat().st_mtime_ns)
