"""What tests of the engines stand on."""

import time

import pytest

from tests.actors.engines.bench import Bench, OneFolder
from tests.bed import tiny_gguf


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "model"
    tiny_gguf.write(folder / "tiny.gguf")
    folder.chmod(0o755)
    (folder / "tiny.gguf").chmod(0o644)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    return OneFolder(folder, "tiny.gguf")


@pytest.fixture
def label():
    return f"test-{time.monotonic_ns()}"


@pytest.fixture
def odd(tmp_path, docker_engine, odd_image, models, label):
    """Engines that misbehave as `odd.say` tells them."""
    settings = {"stall_s": 1.0, "canary_s": 1.0, "canary_timeout_s": 0.5, "pids_max": 64, "log_max_bytes": 1 << 16}
    made = Bench(tmp_path, docker_engine.host, odd_image, models, label, settings=settings)
    yield made
    made.close()
