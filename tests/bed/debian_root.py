"""A root file system of this machine's own Debian release, unpacked without installing or running anything.

The packages and all that they depend on come from the machine's own apt sources, with their SHA-256 as apt's
verified index names it. No maintainer script runs: what one would have made is made by whoever uses the root.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from tests.bed import packages
from tests.bed.errors import BedError
from tests.bed.places import folder, locked, say

UNPACK_S = 300
ADDRESS = re.compile(r"^'([^']+)' \S+ \d+ SHA256:([0-9a-f]{64})$", re.MULTILINE)
MERGED = ("bin", "sbin", "lib", "lib64")
"""Top-level folders that are links into /usr in today's Debian."""
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info")

Deb = tuple[str, str]
"""(address, SHA-256)"""


def closure(names: Sequence[str]) -> list[Deb]:
    """The packages with all they depend on, as for an empty machine. BedError when apt cannot say."""
    empty = folder("cache", "apt")
    (empty / "status").touch()
    words = ["apt-get", "-o", f"Dir::State::status={empty}/status", "-o", f"Dir::Cache::archives={empty}"]
    words += ["-o", "Acquire::ForceHash=sha256", "-o", "Debug::NoLocking=true", "--no-install-recommends"]
    done = _said([*words, "--print-uris", "-y", "-q", "install", *names])
    if done.returncode and packages.find("apt-get"):
        packages.update()
        done = _said([*words, "--print-uris", "-y", "-q", "install", *names])
    found = ADDRESS.findall(done.stdout)
    if done.returncode or not found:
        raise BedError(f"packages {' '.join(names)}", done.stderr.strip()[-800:], "apt-get update, as root")
    return found


def unpack(debs: Sequence[Deb], root: Path) -> None:
    """Fetch what the cache lacks and unpack everything into `root`, an empty folder."""
    cache = folder("cache", "debs")
    with locked("debs"):
        absent = [(address, cache / f"{sha256}.part", sha256) for address, sha256 in debs]
        absent = [one for one in absent if not one[1].with_suffix(".deb").exists()]
        if absent:
            say(f"fetching {len(absent)} packages of this release (kept in the cache, not installed)")
            packages.fetch(absent)
            for _, part, _ in absent:
                part.rename(part.with_suffix(".deb"))
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for _, sha256 in debs:
        subprocess.run(
            ["dpkg-deb", "-x", str(cache / f"{sha256}.deb"), str(root)], check=True, timeout=UNPACK_S
        )
    for name in UNREAD:
        shutil.rmtree(root / name, ignore_errors=True)


def names(debs: Sequence[Deb]) -> list[str]:
    """File names of the packages, for people."""
    return [unquote(address.rpartition("/")[2]) for address, _ in debs]


def _said(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=UNPACK_S)
