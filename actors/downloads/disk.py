"""Small durable deeds on the store's file system: write, publish, count, throw away."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER_MODE = 0o755
FILE_MODE = 0o644
BLOCK_UNIT_BYTES = 512
"""Of st_blocks, whatever the file system's own block is."""


def sync(folder: Path) -> None:
    """What a folder lists is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """The same for every folder inside; files are the business of who wrote them."""
    for path in [folder, *(inner for inner in folder.rglob("*") if inner.is_dir())]:
        sync(path)


def write_json(file: Path, value: Any) -> None:
    """The whole value or the one before: durable when it returns."""
    file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", errors="strict") as out:
        json.dump(value, out, sort_keys=True, indent=1)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    sync(file.parent)


def read_json(file: Path) -> dict[str, Any]:
    """The map in a file; empty when there is none or it cannot be read as one."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def point(link: Path, target: str) -> None:
    """A symlink that is always there and always whole: the new one takes its place by one rename."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync(link.parent)


def open_to_engines(folder: Path) -> None:
    """Engines run as users of their own: a version is readable by all, whatever the daemon's umask is."""
    folder.chmod(FOLDER_MODE)
    for path in folder.rglob("*"):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def regular_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every regular file inside, no link followed; nothing when the folder is absent."""
    for base, _folders, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue  # it went while we looked
            if stat.S_ISREG(seen.st_mode):
                yield path, seen


def allocated(folder: Path) -> int:
    """Bytes of disk that the files inside have."""
    return sum(seen.st_blocks * BLOCK_UNIT_BYTES for _, seen in regular_files(folder))


def throw_away(folder: Path, trash: Path) -> None:
    """Out of sight by one rename; `empty` frees the space."""
    trash.mkdir(mode=0o700, exist_ok=True)
    number = sum(1 for _ in trash.iterdir())
    while True:
        target = trash / f"{number}"
        if not os.path.lexists(target):
            break
        number += 1
    folder.rename(target)


def empty(trash: Path) -> None:
    """Free what was thrown away."""
    for folder in sorted(trash.iterdir()) if trash.is_dir() else ():
        shutil.rmtree(folder, ignore_errors=True)


def prune_upwards(folder: Path, stop: Path) -> None:
    """Remove empty folders from here up to, and without, `stop`."""
    while folder != stop and stop in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
