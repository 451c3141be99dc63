"""`python -m tests.bed` as a person uses it."""

import os
import re
import subprocess
import sys
import urllib.request

import pytest

from tests.bed import __main__ as command
from tests.bed import vllm_image
from tests.bed.docker_engine import answers
from tests.bed.places import ROOT


def run_bed(word, host):
    return subprocess.run(
        [sys.executable, "-m", "tests.bed", word],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=dict(os.environ, DOCKER_HOST=host),
    )


@pytest.mark.timeout(300)
def test_up_says_what_to_set_and_down_stops_it(docker_engine):
    if command._held() is not None:
        pytest.fail("a bed of this checkout is up; stop it first: python -m tests.bed down")
    try:
        up = run_bed("up", docker_engine.host)
        assert up.returncode == 0, up.stderr
        said = dict(re.findall(r"^export (\w+)=(.*)$", up.stdout, re.MULTILINE))
        assert answers(said["DOCKER_HOST"])
        assert said["BED_IMAGE_BY_DIGEST"].startswith(said["BED_REGISTRY"])
        with urllib.request.urlopen(f"{said['BED_HUB']}/api/models/bed/tiny-llama", timeout=20) as answer:
            assert answer.status == 200
        assert run_bed("status", docker_engine.host).stdout == up.stdout
    finally:
        down = run_bed("down", docker_engine.host)
    assert down.returncode == 0, down.stderr
    assert run_bed("status", docker_engine.host).returncode == 3
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(said["BED_HUB"], timeout=5)


def test_an_image_whose_wheels_cannot_be_had_is_said_with_the_reason(monkeypatch, tmp_path):
    lock = tmp_path / "packages.lock"
    lock.write_text(f"torch==0.0.1+nobody --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(vllm_image, "LOCK", lock)
    assert "torch==0.0.1+nobody" in vllm_image.why_not()
