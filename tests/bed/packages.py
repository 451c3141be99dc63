"""Debian packages: install one when root, or unpack one uninstalled; always said on standard error."""

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bed.errors import BedError
from tests.bed.places import CACHE, say

SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
UPDATE_S = 180
INSTALL_S = 600
APT_HELPER = "/usr/lib/apt/apt-helper"


def find(program: str) -> str | None:
    """Absolute path of a program; the folders of administrators are searched too."""
    return shutil.which(program, path=SEARCH)


def ensure(package: str, program: str) -> str:
    """Absolute path of `program`; `package` is installed through apt when it is absent and we are root."""
    found = find(program)
    if found:
        return found
    _need_apt(package, program)
    if os.geteuid() != 0:
        raise BedError(program, "it is not installed and this user may not install it", f"apt install {package}")
    update()
    say(f"installing the package {package}, since {program} is absent")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    _apt(["install", "-y", "-q", "--no-install-recommends", package], INSTALL_S, environment)
    found = find(program)
    if found is None:
        raise BedError(program, f"the package {package} does not have it", "install it by hand")
    return found


def unpacked(package: str, inside: str) -> Path:
    """Path of the file `inside` (relative) of a package that is fetched and unpacked, not installed.

    apt checks the signature of the package's index. Kept under .bed/cache/tools.
    """
    place = CACHE / "tools" / package
    if (place / inside).exists():
        return place / inside
    place = _unpack(package, inside)
    if not (place / inside).exists():
        raise BedError(inside, f"the package {package} does not have it", f"apt install {package}")
    return place / inside


def whole(package: str) -> Path:
    """The folder of a package that is fetched and unpacked, not installed: libraries of other programs."""
    place = CACHE / "tools" / package
    return place if place.exists() else _unpack(package, package)


def _unpack(package: str, wanted: str) -> Path:
    place = CACHE / "tools" / package
    _need_apt(package, wanted)
    say(f"unpacking the package {package} under {place}; nothing is installed")
    scratch = place.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "deb").mkdir(parents=True)
    if not _known(package):
        update()
    _apt(["download", "-q", package], UPDATE_S, None, cwd=scratch / "deb")
    for deb in (scratch / "deb").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(scratch)], check=True, timeout=UPDATE_S)
    shutil.rmtree(place, ignore_errors=True)
    scratch.rename(place)
    return place


def fetch(files: Sequence[tuple[str, Path, str | None]]) -> None:
    """Download (address, target, SHA-256 or None) through apt's own fetcher, with its proxies and methods.

    subprocess.CalledProcessError, apt's words in `stderr`, when one is not to be had or has another sum.
    """
    words: list[str] = []
    for address, target, sha256 in files:
        words += [address, str(target), f"SHA256:{sha256}" if sha256 else ""]
    subprocess.run(
        [APT_HELPER, "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2", "download-file", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )


def repositories() -> list[str]:
    """Addresses (each ending in /) of the repositories in this machine's apt configuration, in its order."""
    _need_apt("apt", "apt-get")
    listed = _output(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    return list(dict.fromkeys(line for line in listed.splitlines() if line))


def architecture() -> str:
    """Debian's name of this machine's architecture, such as amd64."""
    return _output(["dpkg", "--print-architecture"]).strip()


@functools.cache
def update() -> None:
    """apt-get update, once in a process; only root can."""
    if os.geteuid() != 0:
        raise BedError(
            "apt-get update",
            "the package lists are needed and this user may not fetch them",
            "run it as root",
        )
    say("apt-get update")
    _apt(["update", "-q"], UPDATE_S, None)


def _known(package: str) -> bool:
    return bool(_output(["apt-cache", "show", "--no-all-versions", package], check=False))


def _need_apt(package: str, program: str) -> None:
    if not find("apt-get"):
        raise BedError(
            program,
            "it is absent, and this is no Debian with apt-get",
            f"install what Debian calls {package}",
        )


def _apt(words: Sequence[str], limit_s: float, environment: dict[str, str] | None, cwd: Path | None = None) -> None:
    done = subprocess.run(
        ["apt-get", *words],
        check=False,
        timeout=limit_s,
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise BedError(
            f"apt-get {' '.join(words)}",
            f"it ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}",
            "see that this machine's apt sources can be reached",
        )


def _output(argv: list[str], *, check: bool = True) -> str:
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=UPDATE_S).stdout
