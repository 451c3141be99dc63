"""From a root file system to an image: packed as one layer that belongs to root, and imported into a Docker Engine."""

import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from docker.errors import ImageNotFound

from tests.bed import docker_engine
from tests.bed.places import CACHE, folder, locked, say

Member = tarfile.TarInfo


def ensured(host: str, reference: str, room: str, build: Callable[[], None], note: str = "") -> str:
    """The name and tag itself; `build` makes the image when it is absent, one build at a time in this `room`."""
    with docker_engine.client(host) as client:
        try:
            client.images.get(reference)
        except ImageNotFound:
            say(f"building the image {reference}{note}")
            with locked(room):
                build()
    return reference


def empty_root(room: str) -> Path:
    """A folder of the cache with nothing in it."""
    root = folder("cache", room)
    shutil.rmtree(root)
    root.mkdir()
    return root


def of_root(member: Member) -> Member:
    """Whoever unpacked it, in the image it is root's."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def packed(root: Path, change: Callable[[Member], Member] = of_root) -> Path:
    """The layer as a file beside the folder, which is removed."""
    target = CACHE / f"{root.name}.tar"
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(root, ".", filter=change)
    shutil.rmtree(root)
    return target


def imported(host: str, layer: Path, reference: str, changes: Sequence[str], timeout_s: float | None = None) -> None:
    """An image of this layer alone; the file is removed."""
    repository, _, tag = reference.rpartition(":")
    with docker_engine.client(host) as client:
        client.api.timeout = timeout_s or client.api.timeout
        client.api.import_image_from_file(str(layer), repository=repository, tag=tag, changes=list(changes))
    layer.unlink()
