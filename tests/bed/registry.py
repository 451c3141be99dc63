"""An image registry on loopback: Debian's docker-registry with its own storage, which goes when it stops."""

import contextlib
import shutil
from pathlib import Path
from typing import Self

from docker.errors import DockerException

from tests.bed import docker_engine, packages
from tests.bed.places import short_folder
from tests.bed.ports import free_port
from tests.bed.processes import Program

CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """A running registry. `address` is host:port, the first part of an image's name."""

    def __init__(self, *, port: int | None = None) -> None:
        """Started and answering; BedError when it cannot be."""
        program = packages.find("docker-registry") or packages.unpacked("docker-registry", "usr/bin/docker-registry")
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.folder = short_folder()
        self._pushed: list[tuple[str, str]] = []
        config = self.folder / "config.yml"
        config.write_text(CONFIG.format(storage=self.folder / "storage", port=self.port))
        self.program = Program(
            "registry",
            [program, "serve", config],
            cleanup=[["rm", "-rf", "--one-file-system", str(self.folder)]],
        )
        try:
            self.program.wait_for_port(self.port)
        except BaseException:
            self.stop()
            raise

    def push(self, host: str, image: str, name: str, tag: str = "bed") -> str:
        """Push an image of the engine at `host`; its address by digest: 127.0.0.1:PORT/NAME@sha256:...

        The engine keeps the image under that digest, so a container may be started from it at once.
        """
        repository = f"{self.address}/{name}"
        self._pushed.append((host, f"{repository}:{tag}"))
        with docker_engine.client(host) as client:
            client.api.tag(image, repository, tag)
            for step in client.api.push(repository, tag, stream=True, decode=True):
                if "error" in step:
                    raise RuntimeError(f"push of {repository}:{tag}: {step['error']}")
            digests: list[str] = client.images.get(f"{repository}:{tag}").attrs["RepoDigests"]
        return next(digest for digest in digests if digest.startswith(f"{repository}@"))

    @property
    def storage(self) -> Path:
        """Its files; a fault test may damage them."""
        return self.folder / "storage"

    def stop(self) -> None:
        """End it, remove its storage, and take its names from the engines."""
        for host, reference in self._pushed:
            with contextlib.suppress(DockerException), docker_engine.client(host) as client:
                client.api.remove_image(reference)
        self._pushed.clear()
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
