"""A small image of an engine that misbehaves on demand: llama.cpp's front, odd_engine_main.py behind it.

Made from packages of Debian (debian_root.py): a minimal Python and nothing else. How it misbehaves is said by the
variable LLAMA_ARG_ODD, which engines of the kind llamacpp may be given.
"""

import hashlib
import shutil
import tarfile
from pathlib import Path

from docker.errors import ImageNotFound

from tests.bed import debian_root, docker_engine
from tests.bed.places import CACHE, folder, locked, say

NAME = "mosalama-bed/odd-engine"
RECIPE = "1"
"""Raise it when the layout below changes: it is part of the image's tag."""
NAMES = ("python3-minimal",)
PROGRAM = Path(__file__).with_name("odd_engine_main.py")
NEVER_OPENED = ("usr/share", "usr/lib/*/gconv", "usr/lib/*/perl*", "usr/sbin", "var", "usr/lib/*/engines-3")


def ensure_image(host: str) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: 2 s with the packages cached."""
    debs = debian_root.closure(NAMES)
    parts = [RECIPE, PROGRAM.read_text(encoding="utf-8"), *(sha256 for _, sha256 in debs)]
    reference = f"{NAME}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"
    with docker_engine.client(host) as client:
        try:
            client.images.get(reference)
        except ImageNotFound:
            say(f"building the image {reference}")
            with locked("odd-root"):
                _build(host, debs, reference)
    return reference


def _build(host: str, debs: list[debian_root.Deb], reference: str) -> None:
    root = folder("cache", "odd-root")
    shutil.rmtree(root)
    root.mkdir()
    debian_root.unpack(debs, root)
    for pattern in NEVER_OPENED:
        for path in root.glob(pattern):
            shutil.rmtree(path)
    for name in ("app", "models", "tmp", "proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)
    python = next(path for path in sorted(root.glob("usr/bin/python3.*")) if path.is_file() and not path.is_symlink())
    shutil.copyfile(PROGRAM, root / "app/main.py")
    target = CACHE / "odd-root.tar"
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(root, ".", filter=_normal)
    repository, _, tag = reference.rpartition(":")
    entry = f'ENTRYPOINT ["/{python.relative_to(root)}", "-I", "-S", "-u", "/app/main.py"]'
    with docker_engine.client(host) as client:
        client.api.import_image_from_file(str(target), repository=repository, tag=tag, changes=[entry])
    target.unlink()
    shutil.rmtree(root)


def _normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o444 | (0o111 if member.isdir() else 0)
    return member
