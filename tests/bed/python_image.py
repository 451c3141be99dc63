"""Small images with Debian's Python and a program of the bed in them: stand-ins for engines that cannot be had here."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bed import debian_root, packed
from tests.bed.debian_root import Deb

RECIPE = "1"
"""Raise it when the layout below changes: it is part of the image's tag."""
NEVER_OPENED = ("usr/share", "usr/lib/*/gconv", "usr/lib/*/perl*", "usr/sbin", "var", "usr/lib/*/engines-3")


@dataclass(frozen=True)
class PythonImage:
    """What is in it: packages of Debian, and programs by their place in the image; each may be executed."""

    name: str
    programs: Mapping[str, Path]
    entrypoint: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("python3",)


def ensure(host: str, image: PythonImage) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: some seconds with the packages cached."""
    debs = debian_root.closure(image.packages)
    texts = [f"{place}={source.read_text(encoding='utf-8')}" for place, source in image.programs.items()]
    parts = [RECIPE, *image.entrypoint, *texts, *(sha256 for _, sha256 in debs)]
    reference = f"mosalama-bed/{image.name}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"
    return packed.ensured(host, reference, "python-root", lambda: _build(host, image, debs, reference))


def _build(host: str, image: PythonImage, debs: Sequence[Deb], reference: str) -> None:
    root = packed.empty_root("python-root")
    debian_root.unpack(debs, root)
    for pattern in NEVER_OPENED:
        for path in root.glob(pattern):
            shutil.rmtree(path)
    for name in ("models", "tmp", "proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)
    for place, source in image.programs.items():
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)
    words = ",".join(f'"{word}"' for word in image.entrypoint)
    packed.imported(host, packed.packed(root, _readable), reference, [f"ENTRYPOINT [{words}]"] if words else [])


def _readable(member: packed.Member) -> packed.Member:
    member.mode |= 0o444 | (0o111 if member.isdir() else 0)
    return packed.of_root(member)
