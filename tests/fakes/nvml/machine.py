"""The GPUs that the stand-in library shows: built once into .bed, told through a file that may change at any time.

In a process of its own: `environment()`. In this process: `loaded()` brings the library in before pynvml asks for it
by name; without the file of a Machine it says that there is no driver, as on any machine without one.
"""

import ctypes
import functools
import hashlib
import os
import subprocess
from pathlib import Path

from tests.bed.packages import ensure
from tests.bed.places import CACHE

SOURCE = Path(__file__).with_name("nvml.c")
LIBRARY = "libnvidia-ml.so.1"


@functools.cache
def library() -> Path:
    """The built library; its folder is named after its source."""
    folder = CACHE / "nvml" / hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    target = folder / LIBRARY
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(f".{os.getpid()}")
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", "-lpthread"]
        words = [ensure("gcc", "gcc"), *flags, f"-Wl,-soname,{LIBRARY}", "-o", scratch, SOURCE]
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        scratch.replace(target)
    return target


@functools.cache
def loaded() -> ctypes.CDLL:
    """The library in this process, found by its own name from now on."""
    return ctypes.CDLL(str(library()), mode=ctypes.RTLD_GLOBAL)


class Machine:
    """One machine's GPUs. `gpu(0, temperature=90)`, `system(gpus=2)`, `xid(0, 79)`: see nvml.c for the figures."""

    def __init__(self, file: Path, gpus: int = 2) -> None:
        self.file = file
        self._lines: dict[str, str] = {}
        self._xids = 0
        self.system(gpus=gpus)

    def environment(self) -> dict[str, str]:
        """What a program has to be started with to see them."""
        return {"LD_LIBRARY_PATH": str(library().parent), "FAKE_NVML": str(self.file)}

    def system(self, **figures: object) -> None:
        """Figures of the whole machine; a dot in a name is written as two underscores."""
        self._set("system", figures)

    def gpu(self, who: int | str, **figures: object) -> None:
        """Figures of one GPU by number, or of `all`."""
        self._set(str(who), figures)

    def xid(self, number: int, code: int) -> None:
        """An event of a GPU."""
        self._xids += 1
        self._set("system", {f"xid.{self._xids}": f"{number} {code}"})

    def _set(self, who: str, figures: dict[str, object]) -> None:
        for name, value in figures.items():
            key = f"{who} {name.replace('__', '.')}"
            self._lines.pop(key, None)
            self._lines[key] = str(value)
        scratch = self.file.with_suffix(".new")
        scratch.write_text("".join(f"{key} {value}\n" for key, value in self._lines.items()))
        scratch.replace(self.file)
