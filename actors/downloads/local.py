"""Models that lie on this machine already: a folder or a file outside the store, copied in and proven like any other.

Links are followed only to where a source may lie by the machine's policy; devices and pipes are never opened.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from protocol.messages.model_source import ModelSource

from .errors import SourceError, SpaceError, WrongBytesError
from .manifest import FILES_MAX, Manifest, RemoteFile, Staging, check_names, wanted
from .meaning import commit_of
from .proof import Read, digests, unread

BLOCK_BYTES = 1 << 20
SCHEME = "file"


def resolve(source: ModelSource, allowed: Callable[[str], bool], read: Read = unread) -> Manifest:
    """The manifest of a local path; reads every file once to know what it is. `read` may raise to end."""
    root = _real(Path(source.uri), allowed)
    found = dict(_files(root, source, allowed, read))
    check_names(found)
    if not found:
        raise SourceError("E_SOURCE", f"{source.uri} has no such file", "", "check the path and the patterns")
    files = tuple(_seen(name, path, read) for name, path in sorted(found.items()))
    commit = commit_of((file.name, file.digest) for file in files)
    return Manifest("path", source.model, source.revision, commit, files)


def _real(path: Path, allowed: Callable[[str], bool]) -> Path:
    """The path without links; SourceError unless this machine's policy allows where it really is."""
    if ".." in path.parts:
        raise SourceError("E_POLICY.path", f"{path} is not a plain path", "it has ..", "name the folder itself")
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        do = "check the path, and that the daemon's user may read it"
        raise SourceError("E_SOURCE", f"{path} cannot be read", str(error), do) from error
    if not allowed(str(real)):
        why = f"it leads to {real}" if real != path else ""
        raise SourceError("E_POLICY.url", f"{path} is not allowed on this machine", why, "allow it in policy.sources")
    return real


def _files(root: Path, source: ModelSource, allowed: Callable[[str], bool], read: Read) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        yield Path(source.uri).name, root
        return
    count = 0
    for base, _, names in os.walk(root, onerror=_unreadable):
        for leaf in names:
            name = str(Path(base, leaf).relative_to(root))
            count += 1
            read(0)
            if count > FILES_MAX:
                raise SourceError("E_TOO_LARGE", f"{root} has more than {FILES_MAX} files", "", "name a smaller folder")
            if wanted(name, source.include, source.exclude):
                path = Path(base, leaf)
                yield name, _real(path, allowed) if path.is_symlink() else path


def _unreadable(error: OSError) -> None:
    raise SourceError(
        "E_SOURCE", f"{error.filename} cannot be read", str(error.strerror), "let the daemon's user read it"
    )


def _seen(name: str, path: Path, read: Read) -> RemoteFile:
    seen = digests(path, read)
    if seen is None:
        raise SourceError("E_SOURCE", f"{path} is not a plain file", "or it may not be read", "exclude it, or mend it")
    return RemoteFile(name, seen.size_bytes, "sha256", seen.sha256, (f"{SCHEME}://{quote(str(path))}",))


def is_local(file: RemoteFile) -> bool:
    """Whether a file is copied and not transferred."""
    return file.urls[0].startswith(f"{SCHEME}://")


def copy_in(file: RemoteFile, staging: Staging, progress: Callable[[int], None]) -> None:
    """One file, hashed as it is written; WrongBytesError when it changed since. `progress` may raise to end."""
    target, partial = staging.files / file.name, staging.work / "copy"
    path = Path(unquote(urlsplit(file.urls[0]).path))
    target.parent.mkdir(parents=True, exist_ok=True)
    state, size = hashlib.sha256(), 0
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError("E_SOURCE", f"{path} cannot be read", str(error), "check the source") from error
    with os.fdopen(source, "rb", buffering=0) as reading, partial.open("wb", buffering=0) as writing:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise SourceError("E_SOURCE", f"{path} is not a plain file any more", "", "check the source")
        while block := _read(reading.read, file):
            _write(writing.write, block, file)
            state.update(block)
            size += len(block)
            progress(len(block))
        os.fsync(writing.fileno())
    if (size, state.hexdigest()) != (file.size_bytes, file.digest):
        partial.unlink()
        what = f"{path} changed while it was copied"
        raise WrongBytesError("E_WRONG_BYTES", what, "its hash is another one now", "pull again when nobody writes it")
    partial.replace(target)


def _read(read: Callable[[int], bytes], file: RemoteFile) -> bytes:
    try:
        return read(BLOCK_BYTES)
    except OSError as error:
        raise SourceError("E_SOURCE", f"{file.name} cannot be read", str(error), "look at its disk") from error


def _write(write: Callable[[bytes], int | None], block: bytes, file: RemoteFile) -> None:
    try:
        written = write(block)
    except OSError as error:
        raise SpaceError("E_SPACE", f"{file.name} cannot be written", str(error), "free space in the store") from error
    if written != len(block):
        raise SpaceError("E_SPACE", f"{file.name} cannot be written", "the disk took a part only", "free space")
