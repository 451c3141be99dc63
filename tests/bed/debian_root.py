"""A root file system of a Debian release, unpacked without installing or running anything.

The packages and all that they depend on come from the machine's own apt sources (or another suite of the same
mirror), with their SHA-256 as apt's verified index names it. No maintainer script runs: what one would have made is
made by whoever uses the root.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bed import packages
from tests.bed.debian_sid import KEYRING
from tests.bed.errors import BedError
from tests.bed.places import folder, locked, say

UNPACK_S = 300
ADDRESS = re.compile(r"^'([^']+)' \S+ \d+ SHA256:([0-9a-f]{64})$", re.MULTILINE)
MERGED = ("bin", "sbin", "lib", "lib64")
"""Top-level folders that are links into /usr in today's Debian."""
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info")

Deb = tuple[str, str]
"""(address, SHA-256)"""


def closure(names: Sequence[str], suite: str | None = None) -> list[Deb]:
    """The packages with all they depend on, as for an empty machine, from this machine's release or `suite`.

    Where apt does not know them its lists are fetched: for this machine's release only root can. BedError if not.
    """
    with locked("apt"):
        options = _options(suite)
        done = _asked(options, names)
        if done.returncode:
            _update(options, suite)
            done = _asked(options, names)
    found = ADDRESS.findall(done.stdout)
    if done.returncode or not found:
        raise BedError(f"packages {' '.join(names)}", done.stderr.strip()[-800:], "apt-get update, as root")
    return found


def _options(suite: str | None) -> list[str]:
    """apt's settings: an empty machine; with a suite also lists and sources of our own."""
    place = folder("cache", "apt", suite or "own")
    (place / "status").touch()
    pairs = {
        "Dir::State::status": place / "status",
        "Dir::Cache": folder("cache", "apt", suite or "own", "cache"),
        "Acquire::ForceHash": "sha256",
        "Debug::NoLocking": "true",
        "APT::Install-Recommends": "false",
    }
    if suite:
        pairs |= {
            "Dir::State::lists": folder("cache", "apt", suite, "lists"),
            "Dir::Etc::sourcelist": place / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Sandbox::User": "",
        }
    return [word for name, value in pairs.items() for word in ("-o", f"{name}={value}")]


def _asked(options: Sequence[str], names: Sequence[str]) -> subprocess.CompletedProcess[str]:
    words = ["apt-get", *options, "--print-uris", "-y", "-q", "install", *names]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=UNPACK_S)


def _update(options: Sequence[str], suite: str | None) -> None:
    """Fetch the lists; of another suite from the first configured mirror that has it."""
    if suite is None:
        packages.update()
        return
    for mirror in packages.repositories():
        text = f"deb [signed-by={KEYRING}] {mirror} {suite} main\n"
        (folder("cache", "apt", suite) / "sources.list").write_text(text, encoding="utf-8")
        say(f"fetching the package lists of Debian {suite}")
        words = ["apt-get", *options, "-o", "APT::Update::Error-Mode=any", "update", "-q"]
        if subprocess.run(words, check=False, capture_output=True, timeout=UNPACK_S).returncode == 0:
            return


def unpack(debs: Sequence[Deb], root: Path) -> None:
    """Fetch what the cache lacks and unpack everything into `root`, an empty folder."""
    cache = folder("cache", "debs")
    with locked("debs"):
        absent = [(address, cache / f"{sha256}.part", sha256) for address, sha256 in debs]
        absent = [one for one in absent if not one[1].with_suffix(".deb").exists()]
        if absent:
            say(f"fetching {len(absent)} packages (kept in the cache, not installed)")
            packages.fetch(absent)
            for _, part, _ in absent:
                part.rename(part.with_suffix(".deb"))
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for _, sha256 in debs:
        subprocess.run(["dpkg-deb", "-x", str(cache / f"{sha256}.deb"), str(root)], check=True, timeout=UNPACK_S)
    for name in UNREAD:
        shutil.rmtree(root / name, ignore_errors=True)
