"""An image whose first process is a real systemd, with the agent's unit, user and folders installed in it.

Made from packages of Debian (debian_root.py). No D-Bus: systemctl talks to systemd itself.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bed import debian_root, packed
from tests.bed.debian_root import Deb
from tests.bed.installed import INTERPRETER
from tests.bed.places import ROOT

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
    return packed.ensured(host, reference, "systemd-root", lambda: _build(host, debs, reference))


def _tag(debs: Sequence[Deb]) -> str:
    parts = [RECIPE, *(sha256 for _, sha256 in debs)]
    parts += [(ROOT / "systemd" / name).read_text(encoding="utf-8") for name in INSTALLED]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(host: str, debs: list[Deb], reference: str) -> None:
    root = packed.empty_root("systemd-root")
    debian_root.unpack(debs, root)
    _finish(root)
    packed.imported(host, packed.packed(root), reference, ['ENTRYPOINT ["/sbin/init"]', "ENV container=docker"])


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
