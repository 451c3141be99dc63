"""What lies in a models folder: read once at the start, measured when space is counted."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from actors.facts import ModelFacts
from config.downloads import DownloadsSettings

from . import disk, records
from .collection import Stored
from .leases import Leases
from .records import Version
from .space import Space

CURRENT = "current"
STAGING = ".staging"
Shared = dict[object, int]


def current(repo: Path) -> str | None:
    """The commit that `current` points to."""
    link = repo / CURRENT
    return str(link.readlink()) if link.is_symlink() else None


def scan(root: Path) -> Iterator[Version]:
    """Every complete version. What the store did not make it leaves alone."""
    for file in sorted(root.glob(f"*/*/*/{records.FOLDER}/*.files.json")):
        source, org, name = file.relative_to(root).parts[:3]
        commit = file.name.removesuffix(".files.json")
        version = records.load_version(root, source, f"{org}/{name}", commit)
        if version is not None and not source.startswith("."):
            yield version


def measure(folder: Path) -> tuple[int, Shared]:
    """Bytes of disk that only this folder has, and those of shared files by their identity."""
    own, shared = 0, Shared()
    for _, seen in disk.regular_files(folder):
        size = seen.st_blocks * disk.BLOCK_UNIT_BYTES
        if seen.st_nlink > 1:
            shared[seen.st_dev, seen.st_ino] = size
        else:
            own += size
    return own, shared


class Survey:
    """Remembers how big versions are, until one appears or goes. Belongs to the store's lock."""

    def __init__(self, root: Path, settings: DownloadsSettings) -> None:
        self._root, self._settings = root, settings
        self._sizes: dict[str, tuple[int, Shared]] = {}

    def forget(self) -> None:
        """A version appeared or went: a file that it shares counts otherwise now."""
        self._sizes.clear()

    def stored(self, versions: Iterable[Version], leases: Leases, active: Iterable[str]) -> tuple[Stored, ...]:
        """Everything that takes space; `active`: keys of versions that are being built."""
        keys = frozenset(active)
        building = {f"{STAGING}/{key}" for key in keys}
        partials = (self._partial(folder, building) for folder in sorted((self._root / STAGING).glob("*/*/*/*")))
        return (*(self._version(version, leases, keys) for version in versions), *partials)

    def _version(self, version: Version, leases: Leases, building: frozenset[str]) -> Stored:
        if version.key not in self._sizes:
            self._sizes[version.key] = measure(version.folder)
        own, shared = self._sizes[version.key]
        return Stored(
            version.key,
            own,
            shared,
            used_at=max(version.state.used_at, version.state.published_at),
            leases=len(leases.holders(version.key)),
            pinned=version.state.pinned,
            current=current(version.repo) == version.commit,
            active=version.key in building,
        )

    def _partial(self, folder: Path, building: set[str]) -> Stored:
        key = str(folder.relative_to(self._root))
        own, shared = measure(folder)
        return Stored(key, own, shared, used_at=folder.stat().st_mtime, partial=True, active=key in building)

    def space(self, stored: Iterable[Stored], promised: Mapping[str, int]) -> Space:
        """How full the store is. `promised`: key -> bytes that its partial will have on disk when it is whole."""
        shared: Shared = {}
        used = 0
        for one in stored:
            used += one.own_bytes
            shared.update(one.shared)
        coming = sum(
            max(0, whole - disk.allocated(self._root / STAGING / key)) for key, whole in promised.items() if whole
        )
        seen = os.statvfs(self._root)
        free, settings = seen.f_bavail * seen.f_frsize, self._settings
        return Space(used + sum(shared.values()), coming, free, settings.free_floor_bytes, settings.quota_bytes)


def facts(version: Version, holders: tuple[str, ...]) -> ModelFacts:
    """A version as other rooms see it."""
    state = version.state
    return ModelFacts(
        model=version.model,
        revision=version.commit,
        path=str(version.folder),
        size_bytes=version.size_bytes,
        current=current(version.repo) == version.commit,
        pinned=state.pinned,
        leases=len(holders),
        last_used_at=state.used_at or None,
        source=version.source,
        files=version.files,
        holders=holders,
        verified_at=state.verified_at or None,
        damaged=state.damaged,
    )
