"""What a source means, as far as that is known without asking anybody. Pure."""

import hashlib
from collections.abc import Iterable, Mapping

from protocol.messages.model_source import ModelSource

from .manifest import RemoteFile, UnsizedFile
from .records import COMMIT, Refs


def commit_of(files: Iterable[tuple[str, str]]) -> str:
    """A name for exactly these files (name, digest): where nobody else names versions, their content does."""
    text = "\n".join(f"{digest} {name}" for name, digest in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def given_files(source: ModelSource) -> tuple[tuple[RemoteFile, ...], tuple[UnsizedFile, ...]]:
    """The files that a manifest gives: those with a size, and those without."""
    every = [UnsizedFile(file.name, file.sha256, file.urls, file.size_max_bytes) for file in source.files]
    sizes = [file.size_bytes for file in source.files]
    sized = tuple(one.sized(size) for one, size in zip(every, sizes, strict=True) if size is not None)
    return sized, tuple(one for one, size in zip(every, sizes, strict=True) if size is None)


def file_name(uri: str) -> str:
    """What the one file of an address is called."""
    return uri.partition("?")[0].partition("#")[0].rstrip("/").rsplit("/", 1)[-1]


def meant(source: ModelSource, refs: Refs, current: str | None) -> str | None:
    """The commit that a source means in a store with these references; None when that was never pulled.

    A manifest and an address with its hash mean exactly their content. A revision means the commit it had when it was
    pulled last; no revision means the current version, so that `model use` switches what engines get when
    they start next.
    """
    if source.kind == "manifest":
        return commit_of((file.name, file.sha256) for file in source.files)
    if source.kind == "https" and source.sha256 is not None:
        return commit_of([(file_name(source.uri), source.sha256)])
    named = source.named_revision
    if named is None:
        return current or refs.revisions.get(source.revision)
    return named if COMMIT.match(named) else refs.revisions.get(named)


def find(wanted: str, commits: Iterable[str], revisions: Mapping[str, str], current: str | None) -> tuple[str, ...]:
    """The commits that a person may mean by a commit, seven or more of its digits, a revision, or the word current."""
    known = tuple(commits)
    if wanted == "current":
        return tuple(commit for commit in known if commit == current)
    if wanted in known:
        return (wanted,)
    if wanted in revisions:
        return tuple(commit for commit in known if commit == revisions[wanted])
    return tuple(commit for commit in known if len(wanted) >= 7 and commit.startswith(wanted))
