"""A small, real llama.cpp server image (CPU) from Debian's packages; nothing is installed on this machine.

Its contract is the official server image's: ENTRYPOINT /app/llama-server, WORKDIR /app,
LLAMA_ARG_HOST=0.0.0.0, root unless told otherwise. It has no shell. What is in it is pinned in
llama_packages.lock; where the mirror has moved on, the same names are resolved anew from its verified index,
which is said.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bed import debian_sid, packages, packed
from tests.bed.debian_sid import Package
from tests.bed.errors import BedError
from tests.bed.places import folder, locked, say

LOCK = Path(__file__).with_name("llama_packages.lock")
NAME = "mosalama-bed/llama-server"
RECIPE = "1"
"""Raise it when the layout below changes: it is part of the image's tag."""
NAMES = (
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libgomp1",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
    "libggml0",
    "libggml0-backend-rpc",
    "libllama0",
    "llama.cpp-tools",
    "llama.cpp-tools-extra",
)
CHANGES = ['ENTRYPOINT ["/app/llama-server"]', "ENV LLAMA_ARG_HOST=0.0.0.0", "WORKDIR /app"]
UNPACK_S = 120
NEVER_OPENED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/gdb",
    "usr/share/bash-completion",
    "usr/share/llama.cpp/llama.cpp-tools",
    "usr/share/gcc",
    "usr/lib/*/gconv",
    "usr/lib/*/engines-3",
    "usr/lib/*/ossl-modules",
)
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def ensure_image(host: str) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: 4 s with the packages cached."""
    chosen, debs = _packages()
    reference = f"{NAME}:{_tag(chosen)}"
    return packed.ensured(host, reference, "llama-root", lambda: _build(host, debs, reference, chosen))


def lock() -> str:
    """Resolve the newest packages from the verified index and write the lock; the text written."""
    text = "".join(
        [
            "# The llama.cpp server image of the test bed: name version sha256 file, from Debian sid.\n",
            "# Written by `python -m tests.bed lock-llama`.\n",
            f"# architecture: {packages.architecture()}\n",
            *(package.line() + "\n" for package in debian_sid.resolve(NAMES)),
        ]
    )
    LOCK.write_text(text, encoding="utf-8")
    return text


def _packages() -> tuple[list[Package], list[Path]]:
    """The packages with their files: the locked ones, or today's where those cannot be had."""
    architecture, locked_ones = debian_sid.read_lock(LOCK)
    cache = folder("cache", "debs")
    with locked("debs"):
        return _chosen(architecture, locked_ones, cache)


def _chosen(architecture: str, locked_ones: list[Package], cache: Path) -> tuple[list[Package], list[Path]]:
    if architecture == packages.architecture():
        try:
            return locked_ones, debian_sid.have(locked_ones, cache)
        except BedError as error:
            say(f"the locked packages cannot be had ({error.why.splitlines()[0]}); resolving anew")
    else:
        say(f"the lock is for {architecture}; resolving the packages for this machine")
    chosen = debian_sid.resolve(NAMES)
    _say_difference(locked_ones, chosen)
    return chosen, debian_sid.have(chosen, cache)


def _say_difference(before: list[Package], chosen: list[Package]) -> None:
    versions = {package.name: package.version for package in before}
    for package in chosen:
        if versions.get(package.name) != package.version:
            say(f"{package.name}: locked {versions.get(package.name)}, taking {package.version}")


def _tag(chosen: list[Package]) -> str:
    return hashlib.sha256("\n".join([RECIPE, *(one.sha256 for one in chosen)]).encode()).hexdigest()[:12]


def _build(host: str, debs: list[Path], reference: str, chosen: list[Package]) -> None:
    root = packed.empty_root("llama-root")
    for deb in debs:  # no maintainer script runs
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True, timeout=UNPACK_S)
    _lay_out(root)
    packed.imported(host, packed.packed(root, _of_no_time), reference, [*CHANGES, *_labels(chosen)])


def _of_no_time(member: packed.Member) -> packed.Member:
    """The same packages give the same bytes."""
    member.mtime = 0
    return packed.of_root(member)


def _lay_out(root: Path) -> None:
    """What base packages would have made, the official image's layout, and nothing that is never opened."""
    for merged in ("bin", "lib", "lib64", "sbin"):
        if not (root / merged).is_symlink():
            (root / "usr" / merged).mkdir(parents=True, exist_ok=True)
            (root / merged).symlink_to(f"usr/{merged}")
    for name in ("app", "models", "tmp", "var/tmp", "root", "etc", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "app/llama-server").symlink_to("../usr/bin/llama-server")
    rpc = next(root.glob("usr/libexec/*/llama/bin/ggml-rpc-server"))
    (root / "app/rpc-server").symlink_to(Path("..") / rpc.relative_to(root))
    for name, text in ACCOUNTS.items():
        (root / name).write_text(text, encoding="utf-8")
    for pattern in NEVER_OPENED:
        for path in root.glob(pattern):
            shutil.rmtree(path)
    _remove(root, "usr/bin/llama-*", lambda name: name != "llama-server")
    _remove(root, "usr/lib/*/llama/*.so", lambda name: name != "libllama-server-impl.so")


def _remove(root: Path, pattern: str, unwanted: Callable[[str], bool]) -> None:
    for path in root.glob(pattern):
        if unwanted(path.name):
            path.unlink()


def _labels(chosen: list[Package]) -> list[str]:
    version = next(package.version for package in chosen if package.name == "llama.cpp-tools")
    return [
        "LABEL org.opencontainers.image.title=llama.cpp",
        f"LABEL org.opencontainers.image.version={version}",
    ]
