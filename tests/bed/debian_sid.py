"""Packages of Debian's unstable suite, from the mirror that this machine's own apt uses; none is installed.

Chain of trust: the archive's keyring (gpgv) signs InRelease, InRelease names the SHA-256 of the package
index, the index names the SHA-256 of each package. A lock of (name, version, SHA-256, file) is trusted by
its own sums.
"""

import lzma
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bed import packages
from tests.bed.errors import BedError
from tests.bed.places import folder, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE = "sid"
NOTHING_FITS = "see that this machine's apt sources name a full Debian mirror that can be reached"


@dataclass(frozen=True, slots=True)
class Package:
    """One binary package; `file` is its path below the mirror."""

    name: str
    version: str
    sha256: str
    file: str

    def line(self) -> str:
        """Its line in a lock."""
        return f"{self.name} {self.version} {self.sha256} {self.file}"


def read_lock(path: Path) -> tuple[str, list[Package]]:
    """(architecture, packages) of a lock; # begins a comment, save '# architecture: NAME'."""
    architecture, found = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# architecture:"):
            architecture = line.partition(":")[2].strip()
        elif line and not line.startswith("#"):
            found.append(Package(*line.split(" ")))
    return architecture, found


def have(wanted: Iterable[Package], cache: Path) -> list[Path]:
    """The files of `wanted`, from the cache or the mirror, every SHA-256 checked by apt's fetcher."""
    paths = [(package, cache / f"{package.sha256}.deb") for package in wanted]
    absent = [(package, path) for package, path in paths if not path.exists()]
    if absent:
        cache.mkdir(parents=True, exist_ok=True)
        _fetch(absent)
    return [path for _, path in paths]


def _fetch(absent: list[tuple[Package, Path]]) -> None:
    why = []
    for mirror in packages.repositories():
        say(f"fetching {len(absent)} packages of Debian {SUITE} (kept in the cache, not installed)")
        try:
            parts = [(package, path.with_suffix(".part"), path) for package, path in absent]
            packages.fetch([(f"{mirror}{package.file}", part, package.sha256) for package, part, _ in parts])
        except subprocess.CalledProcessError as error:
            why.append(error.stderr.strip()[-400:])
            continue
        for _, part, path in parts:
            part.rename(path)
        return
    raise BedError(f"packages of Debian {SUITE}", "\n".join(why) or "no repository is configured", NOTHING_FITS)


def resolve(names: Iterable[str]) -> list[Package]:
    """Newest packages of these names in the verified index of the mirror. BedError when one is not there."""
    wanted = list(names)
    index = _index()
    missing = [name for name in wanted if name not in index]
    if missing:
        raise BedError(f"packages {', '.join(missing)}", f"Debian {SUITE} of this mirror lacks them", NOTHING_FITS)
    return [index[name] for name in wanted]


def _index() -> dict[str, Package]:
    """Every package of main, by name, from an index whose sum the signed InRelease names."""
    place = folder("cache", "sid")
    path = f"main/binary-{packages.architecture()}/Packages.xz"
    why = []
    for mirror in packages.repositories():
        base = f"{mirror}dists/{SUITE}/"
        try:
            packages.fetch([(f"{base}InRelease", place / "InRelease", None)])
            sha256 = _named_sum(_verified(place / "InRelease"), path)
            packages.fetch([(f"{base}{path}", place / "Packages.xz", sha256)])
        except subprocess.CalledProcessError as error:
            why.append(error.stderr.strip()[-400:])
            continue
        return _parsed(place / "Packages.xz")
    raise BedError(
        f"the package index of Debian {SUITE}", "\n".join(why) or "no repository is configured", NOTHING_FITS
    )


def _verified(path: Path) -> str:
    """The signed text of InRelease; subprocess.CalledProcessError when no key of the archive signed it."""
    if not KEYRING.exists():
        raise BedError(str(KEYRING), "the archive's keys are absent", "apt install debian-archive-keyring")
    gpgv = packages.ensure("gpgv", "gpgv")
    done = subprocess.run(
        [gpgv, "--keyring", str(KEYRING), "--output", "-", str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout


def _named_sum(release: str, path: str) -> str:
    sums = release.partition("\nSHA256:")[2]
    found = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(path)}$", sums, re.MULTILINE)
    if found is None:
        raise BedError(path, f"InRelease of {SUITE} does not name it", NOTHING_FITS)
    return found[1]


def _parsed(path: Path) -> dict[str, Package]:
    found, fields = {}, {}
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            name, colon, value = line.rstrip("\n").partition(": ")
            if colon and not line.startswith(" "):
                fields[name] = value
            elif line == "\n":
                package = Package(fields["Package"], fields["Version"], fields["SHA256"], fields["Filename"])
                found[package.name], fields = package, {}
    return found
