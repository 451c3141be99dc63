"""A small image of an engine that misbehaves on demand: llama.cpp's front, odd_engine_main.py behind it.

How it misbehaves is said by the variable LLAMA_ARG_ODD, which engines of the kind llamacpp may be given.
"""

from pathlib import Path

from tests.bed import python_image
from tests.bed.python_image import PythonImage

IMAGE = PythonImage(
    "odd-engine",
    {"app/main.py": Path(__file__).with_name("odd_engine_main.py")},
    ("/usr/bin/python3", "-I", "-S", "-u", "/app/main.py"),
    packages=("python3-minimal",),
)


def ensure_image(host: str) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: 2 s with the packages cached."""
    return python_image.ensure(host, IMAGE)
