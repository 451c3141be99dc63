"""What others wrote is here as they published it, with its licence, and the wheel has all that the page needs."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from actors.api import static_files

ROOT = Path(__file__).parents[3]
FOLDERS = {"uPlot": ROOT / "actors/api/static", "axe-core": ROOT / "tests/e2e/axe"}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_vendored_file_is_the_published_one(name):
    folder = FOLDERS[name]
    told = json.loads((folder / "vendored.json").read_text())
    assert told["name"] == name
    assert told["version"].count(".") == 2
    for file, facts in told["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == facts["sha256"], file
    assert any("LICENSE" in file for file in told["files"])


def test_the_chart_library_says_the_version_that_is_told():
    told = json.loads((FOLDERS["uPlot"] / "vendored.json").read_text())
    assert f"(v{told['version']})" in (FOLDERS["uPlot"] / "uplot.js").read_text()[:200]


def test_the_wheel_has_every_file_of_the_page(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        inside = {Path(name).name for name in packed.namelist() if name.startswith("actors/api/static/")}
    assert static_files.names() | {"vendored.json"} <= inside
    assert {"app.js", "uplot.js", "uplot.LICENSE.txt", "dashboard.css", "icon.svg"} <= inside


def test_a_file_of_the_page_is_at_most_400_lines():
    for name in static_files.names():
        assert len((FOLDERS["uPlot"] / name).read_text().splitlines()) <= 400, name
