"""A model hub on loopback that speaks the Hugging Face API: tests/fakes/hub.py as a program."""

import sys
from pathlib import Path
from typing import Self

from tests.bed import tiny_gguf, tiny_hf
from tests.bed.places import ROOT
from tests.bed.processes import Program


class LocalHub:
    """A running hub. `url` is its endpoint; repositories are folders ORG/NAME below `folder`."""

    def __init__(self, folder: Path, *, port: int = 0, options: tuple[str, ...] = ()) -> None:
        """Started and answering; `options` are further words for tests.fakes.hub."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        argv = [
            sys.executable,
            "-m",
            "tests.fakes.hub",
            "--root",
            str(folder),
            "--port",
            str(port),
            *options,
        ]
        self.program = Program("hub", argv, cwd=ROOT)
        try:
            self.url = self.program.wait_for_line(r"http://127\.0\.0\.1:\d+").group()
        except BaseException:
            self.stop()
            raise

    def add_tiny_gguf(self, repository: str, file: str = "tiny.gguf", kind: str = "model") -> str:
        """Put a tiny GGUF model into the repository ORG/NAME; its address hf://ORG/NAME:FILE."""
        tiny_gguf.write(self.folder / repository / file, kind)
        return f"hf://{repository}:{file}"

    def add_tiny_hf(self, repository: str) -> str:
        """Put a tiny safetensors repository there; its address hf://ORG/NAME."""
        tiny_hf.write(self.folder / repository)
        return f"hf://{repository}"

    def stop(self) -> None:
        """End it; the folder stays."""
        self.program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
