"""An image whose first process is a real systemd, with the agent's unit, user and folders installed in it.

Made from packages of Debian (debian_root.py). No D-Bus: systemctl talks to systemd itself.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from docker.errors import ImageNotFound

from tests.bed import debian_root, docker_engine
from tests.bed.debian_root import Deb
from tests.bed.installed import INTERPRETER
from tests.bed.places import CACHE, ROOT, folder, locked, say

NAME = "mosalama-bed/systemd"
RECIPE = "1"
"""Raise it when the layout below changes: it is part of the image's tag."""
NAMES = (
    "systemd",
    "systemd-sysv",
    "python3",
    "dash",
    "coreutils",
    "procps",
    "libc-bin",
    "sed",
    "grep",
    "util-linux",
    "base-passwd",
)
INSTALLED = {
    "mosalamaagent.service": "etc/systemd/system/mosalamaagent.service",
    "mosalamaagent.sysusers": "usr/lib/sysusers.d/mosalamaagent.conf",
    "mosalamaagent.tmpfiles": "usr/lib/tmpfiles.d/mosalamaagent.conf",
}
MASKED = (
    "getty.target",
    "systemd-udevd.service",
    "systemd-logind.service",
    "systemd-firstboot.service",
    "dev-hugepages.mount",
)
"""Parts of a machine that a container has no use for."""


def ensure_image(host: str, suite: str | None = None) -> str:
    """Name and tag of the image in the engine at `host`, built when absent: 6 s with the packages cached.

    `suite`: another Debian release than this machine's, for its systemd.
    """
    debs = debian_root.closure(NAMES, suite)
    reference = f"{NAME}:{_tag(debs)}"
    with docker_engine.client(host) as client:
        try:
            client.images.get(reference)
        except ImageNotFound:
            say(f"building the image {reference}")
            with locked("systemd-root"):
                _build(host, debs, reference)
    return reference


def _tag(debs: Sequence[Deb]) -> str:
    parts = [RECIPE, *(sha256 for _, sha256 in debs)]
    parts += [(ROOT / "systemd" / name).read_text(encoding="utf-8") for name in INSTALLED]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(host: str, debs: Sequence[Deb], reference: str) -> None:
    root = folder("cache", "systemd-root")
    shutil.rmtree(root)
    root.mkdir()
    debian_root.unpack(debs, root)
    _finish(root)
    target = CACHE / "systemd-root.tar"
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(root, ".", filter=_owned_by_root)
    repository, _, tag = reference.rpartition(":")
    with docker_engine.client(host) as client:
        changes = ['ENTRYPOINT ["/sbin/init"]', "ENV container=docker"]
        client.api.import_image_from_file(str(target), repository=repository, tag=tag, changes=changes)
    target.unlink()
    shutil.rmtree(root)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _finish(root: Path) -> None:
    """What maintainer scripts would have made, then the agent's own files."""
    for name in ("dev", "proc", "sys", "run", "tmp", "var/tmp", "root", "opt"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    shutil.copy(root / "usr/share/base-passwd/passwd.master", root / "etc/passwd")
    shutil.copy(root / "usr/share/base-passwd/group.master", root / "etc/group")
    (root / "etc/machine-id").write_text("b" * 32 + "\n", encoding="ascii")
    (root / "etc/ld.so.conf").write_text(f"{INTERPRETER}/lib\n", encoding="ascii")
    (root / "etc/hostname").write_text("bed\n", encoding="ascii")
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("dash")
    for name in MASKED:
        (root / "etc/systemd/system" / name).symlink_to("/dev/null")
    for name, target in INSTALLED.items():
        shutil.copy(ROOT / "systemd" / name, root / target)
