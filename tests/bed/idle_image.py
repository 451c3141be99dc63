"""An image with one static program: Debian's busybox, unpacked. For containers that do what a test says, and little."""

import contextlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any

from tests.bed import packages

NAME, TAG = "mosalama-bed-idle", "1"
SLEEP = ["/bin/busybox", "sleep", "100000"]


def idle_image(client: Any) -> str:
    """The image in the engine of that client; made again each time, which takes a moment."""
    binary = packages.unpacked("busybox-static", "bin/busybox")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(binary, "bin/busybox")
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        tar.addfile(folder)
    client.api.import_image_from_data(packed.getvalue(), repository=NAME, tag=TAG)
    return f"{NAME}:{TAG}"


@contextlib.contextmanager
def idle_containers(
    client: Any, count: int = 1, command: list[str] | None = None, **options: Any
) -> Iterator[list[Any]]:
    """So many running containers without a network, reloaded; removed with their image at the end."""
    image = idle_image(client)
    made: list[Any] = []
    try:
        for _ in range(count):
            made.append(client.containers.create(image, command or SLEEP, network_mode="none", **options))
            made[-1].start()
            made[-1].reload()
        yield made
    finally:
        for one in made:
            one.remove(force=True)
        client.api.remove_image(image, force=True)
