"""A machine of GPUs under the unmodified pynvml, for every test of this room."""

import pytest

from tests.fakes.nvml.machine import Machine, loaded


@pytest.fixture
def machine(tmp_path, monkeypatch):
    loaded()
    made = Machine(tmp_path / "gpus")
    monkeypatch.setenv("FAKE_NVML", str(made.file))
    return made


@pytest.fixture
def version(tmp_path):
    file = tmp_path / "version"
    file.write_text("580.65.06\n")
    return file
