"""A version while it is built: what is here already is linked, what arrived is proven, the whole appears at once."""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import disk
from .errors import WrongBytesError
from .manifest import RemoteFile, Staging
from .proof import Digests, Read, digests
from .records import KeptFile, Version, load_files, same


@dataclass(frozen=True, slots=True)
class Prepared:
    """A staging that is ready for a transfer."""

    staging: Staging
    lacking: tuple[RemoteFile, ...]
    """What is still to be brought."""
    present_bytes: int
    """What is here and proven: of this version, of an earlier try, or shared with another version."""


def intact(folder: Path, name: str, size_bytes: int) -> bool:
    """Whether a regular file of that size is there."""
    try:
        seen = (folder / name).lstat()
    except OSError:
        return False
    return stat.S_ISREG(seen.st_mode) and seen.st_size == size_bytes


def in_place(version: Version | None, files: Iterable[RemoteFile]) -> tuple[KeptFile, ...]:
    """Those of the files that the version has, proven and not known to be damaged."""
    if version is None:
        return ()
    kept = {one.name: one for one in load_files(version.repo, version.commit) or ()}
    damaged = set(version.state.damaged)
    found = (kept[file.name] for file in files if file.name in kept and same(kept[file.name], file))
    return tuple(one for one in found if one.name not in damaged and intact(version.folder, one.name, one.size_bytes))


def size_of(versions: Iterable[Version], sha256: str) -> int | None:
    """How big the file with that SHA-256 is, when a version has it; its bytes are proven again before they count."""
    found = (kept for version in versions for kept in load_files(version.repo, version.commit) or ())
    return next((kept.size_bytes for kept in found if kept.sha256 == sha256), None)


Damaged = Callable[[Version, str], None]
"""Told of a file of a version that turned out to be wrong."""


def link_known(
    staging: Staging, files: Iterable[RemoteFile], versions: Iterable[Version], damaged: Damaged, read: Read
) -> None:
    """Hard links of files that other versions have; each is read again first, so that rot is not inherited."""
    known = _by_digest(versions)
    for file in files:
        if intact(staging.files, file.name, file.size_bytes):
            continue
        for version, kept in known.get(file.digest, ()):
            if not same(kept, file):
                continue
            seen = digests(version.folder / kept.name, read, git=file.proof == "git-sha1")
            if seen is None or seen.sha256 != kept.sha256:
                damaged(version, kept.name)
            elif _linked(version.folder / kept.name, staging.files / file.name):
                break


def _by_digest(versions: Iterable[Version]) -> Mapping[str, list[tuple[Version, KeptFile]]]:
    found: dict[str, list[tuple[Version, KeptFile]]] = {}
    for version in versions:
        for kept in load_files(version.repo, version.commit) or ():
            if kept.name not in version.state.damaged:
                for digest in {kept.digest, kept.sha256}:
                    found.setdefault(digest, []).append((version, kept))
    return found


def _linked(source: Path, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".link.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary, follow_symlinks=False)
    except OSError:
        return False  # too many links, or a file system without them: it is fetched
    temporary.replace(target)
    return True


def link_unrecorded(staging: Staging, folder: Path, files: Iterable[RemoteFile], read: Read) -> None:
    """Files that a publication was moving when it was cut: they count once they are proven again."""
    for file in files:
        if intact(folder, file.name, file.size_bytes) and not intact(staging.files, file.name, file.size_bytes):
            seen = digests(folder / file.name, read, git=file.proof == "git-sha1")
            if seen is not None and seen.named(file.proof) == file.digest:
                _linked(folder / file.name, staging.files / file.name)


def link_twins(staging: Staging, files: Collection[RemoteFile]) -> None:
    """Files whose bytes stand in the staging under another name, which they got when they were proven."""
    there = {
        (file.proof, file.digest): file.name for file in files if intact(staging.files, file.name, file.size_bytes)
    }
    for file in files:
        twin = there.get((file.proof, file.digest), file.name)
        if twin != file.name and not intact(staging.files, file.name, file.size_bytes):
            _linked(staging.files / twin, staging.files / file.name)


def prove(staging: Staging, files: Iterable[RemoteFile], read: Read) -> tuple[KeptFile, ...]:
    """What the store will remember of staged files; WrongBytesError when one is not what it should be.

    A file whose SHA-256 was promised was proven as it arrived. One that only git's SHA-1 proves is read once more, so
    that a SHA-256 of ours, of the very bytes that had that SHA-1, is what later verifications compare.
    """
    return tuple(_proven(staging.files, file, read) for file in files)


def _proven(folder: Path, file: RemoteFile, read: Read) -> KeptFile:
    if not intact(folder, file.name, file.size_bytes):
        raise WrongBytesError("E_WRONG_BYTES", f"{file.name} is not there in its full size", "", "pull again")
    if file.proof == "sha256":
        return KeptFile(file.name, file.size_bytes, file.digest, file.proof, file.digest)
    seen: Digests | None = digests(folder / file.name, read, git=True)
    if seen is None or seen.git_sha1 != file.digest:
        (folder / file.name).unlink(missing_ok=True)
        raise WrongBytesError("E_WRONG_BYTES", f"{file.name} changed after it arrived", "", "pull again", retry=True)
    return KeptFile(file.name, file.size_bytes, seen.sha256, file.proof, file.digest)


def sweep_extras(folder: Path, wanted: Iterable[str]) -> None:
    """Only what the manifest names is published."""
    names = set(wanted)
    for path, _ in list(disk.regular_files(folder)):
        if str(path.relative_to(folder)) not in names:
            path.unlink()
            disk.prune_upwards(path.parent, folder)


def move_into(staged: Path, target: Path, names: Iterable[str]) -> None:
    """Files join a published version one by one; none that is there and right is touched."""
    for name in names:
        (target / name).parent.mkdir(mode=disk.FOLDER_MODE, parents=True, exist_ok=True)
        (staged / name).replace(target / name)
    disk.sync_tree(target)
