"""The whole main job, as `make demo ONCE=1` does it."""

import json
import subprocess
import sys

import pytest

from tests.bed.places import ROOT

STEPS = 10


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_demo_holds_every_step(docker_engine, llama_image):
    summary = ROOT / ".demo" / "summary.json"
    summary.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bed.demo", "--once"],
        cwd=ROOT,
        env=docker_engine.environment(),
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    found = json.loads(summary.read_text())
    failed = [step for step in found["steps"] if not step["ok"]]
    assert not failed, failed
    assert found["ok"]
    assert len(found["steps"]) == STEPS
    assert done.returncode == 0, done.stdout[-2_000:]
    assert all(set(step) == {"name", "ok", "seconds", "detail"} for step in found["steps"])
