"""Fixtures of the test bed: session-wide parts, each brought up when the first test asks for it.

A test that asks for one is marked `e2e`, and its time limit counts the test alone, not the bringing up.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed import whole
from tests.bed.docker_engine import DockerEngine
from tests.bed.hub import LocalHub
from tests.bed.registry import Registry
from tests.bed.whole import Bed

PARTS = frozenset({"bed", "docker_engine", "registry", "llama_image", "odd_image", "llama_digest", "vllm_image", "hub"})
TEST_S = 60


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """All of it; parts come up when asked for and are stopped after the last test.

    In an engine that is ours alone, a container that a test did not remove fails the run.
    """
    with Bed() as everything:
        yield everything
        own = "engine" in vars(everything) and everything.engine.owned
        left = everything.engine.containers() if own else []
    assert not left, f"containers that tests did not remove: {left}"


@pytest.fixture(scope="session")
def docker_engine(bed: Bed) -> DockerEngine:
    """A Docker Engine: `.host` is what DOCKER_HOST wants, `.client()` an SDK client as a context manager."""
    return bed.engine


@pytest.fixture(scope="session")
def registry(bed: Bed) -> Registry:
    """An image registry on loopback: `.address`, `.push(host, image, name)` gives NAME@sha256:..."""
    return bed.registry


@pytest.fixture(scope="session")
def llama_image(bed: Bed) -> str:
    """Name and tag of the llama.cpp server image in `docker_engine`."""
    return bed.llama_image


@pytest.fixture(scope="session")
def odd_image(bed: Bed) -> str:
    """Name and tag of the image of an engine that misbehaves on demand: see odd_engine_main.py."""
    return bed.odd_image


@pytest.fixture(scope="session")
def llama_digest(bed: Bed) -> str:
    """The same image by digest, in `registry` and in `docker_engine`."""
    return bed.llama_digest


@pytest.fixture(scope="session")
def vllm_image(bed: Bed, pytestconfig: pytest.Config) -> str:
    """Name of a vLLM server image (CPU) in `docker_engine`: the one given by --vllm-image, else built here."""
    return str(pytestconfig.getoption("vllm_image") or bed.vllm_image)


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """A tiny GGUF model, readable by everybody; do not change it."""
    return whole.tiny_model()


@pytest.fixture(scope="session")
def tiny_repository() -> Path:
    """A folder with a tiny model in the Hugging Face layout; do not change it."""
    return whole.tiny_repository()


@pytest.fixture(scope="session")
def hub(bed: Bed) -> LocalHub:
    """A hub on loopback: `.url`, `.folder`, `.add_tiny_gguf("org/name")`; take a name of your own."""
    return bed.hub


def pytest_addoption(parser: pytest.Parser) -> None:
    """An engine image from elsewhere instead of the bed's own."""
    parser.addoption("--vllm-image", help="a vLLM server image (CPU) by name or digest, instead of the one built here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the bed are marked, and timed without the bringing up."""
    for item in items:
        if PARTS.isdisjoint(getattr(item, "fixturenames", ())):
            continue
        item.add_marker(pytest.mark.e2e)
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own and own.args else TEST_S
        item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)
