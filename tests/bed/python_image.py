"""Small images with Debian's Python and a program of the bed in them: stand-ins for engines that cannot be had here."""

import hashlib
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docker.errors import ImageNotFound

from tests.bed import debian_root, docker_engine
from tests.bed.debian_root import Deb
from tests.bed.places import CACHE, folder, locked, say

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
    with docker_engine.client(host) as client:
        try:
            client.images.get(reference)
        except ImageNotFound:
            say(f"building the image {reference}")
            with locked("python-root"):
                _build(host, image, debs, reference)
    return reference


def _build(host: str, image: PythonImage, debs: Sequence[Deb], reference: str) -> None:
    root = folder("cache", "python-root")
    shutil.rmtree(root)
    root.mkdir()
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
    tar_file = CACHE / "python-root.tar"
    with tarfile.open(tar_file, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(root, ".", filter=_normal)
    words = ",".join(f'"{word}"' for word in image.entrypoint)
    repository, _, tag = reference.rpartition(":")
    with docker_engine.client(host) as client:
        changes = [f"ENTRYPOINT [{words}]"] if words else []
        client.api.import_image_from_file(str(tar_file), repository=repository, tag=tag, changes=changes)
    tar_file.unlink()
    shutil.rmtree(root)


def _normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o444 | (0o111 if member.isdir() else 0)
    return member
