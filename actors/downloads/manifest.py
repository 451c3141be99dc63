"""What one version of a model consists of. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from .errors import SourceError

FILES_MAX = 100_000
NAME_MAX_CHARS = 512


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file with what proves it: SHA-256 of its bytes, or the SHA-1 of it as a git blob."""

    name: str
    size_bytes: int
    proof: Literal["sha256", "git-sha1"]
    digest: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole version."""

    source: str
    """First part of the path in the store: hub, https, manifest."""
    model: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    headers: dict[str, str] = field(default_factory=dict)
    """For the source's own host only."""

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(file.size_bytes for file in self.files)


def check_names(names: Iterable[str]) -> None:
    """SourceError for a name that could leave the version's folder or hide another."""
    seen: dict[str, str] = {}
    for count, name in enumerate(names, 1):
        parts = name.split("/")
        bad = (
            not name
            or len(name) > NAME_MAX_CHARS
            or name.startswith(("/", "~"))
            or "\\" in name
            or any(ord(letter) < 32 for letter in name)
            or any(part in {"", ".", ".."} for part in parts)
        )
        if bad:
            raise SourceError(
                "E_POLICY.path", "the model has a file name that is not safe", repr(name[:80]), "take another model"
            )
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise SourceError(
                "E_POLICY.path", "two file names differ by case only", f"{other!r} and {name!r}", "exclude one"
            )
        if count > FILES_MAX:
            raise SourceError("E_TOO_LARGE", f"the model has more than {FILES_MAX} files", "", "use include patterns")


def wanted(name: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Whether a file passes the patterns: included by one or by having none, excluded by none."""
    chosen = list(include)
    return (not chosen or any(fnmatchcase(name, item) for item in chosen)) and not any(
        fnmatchcase(name, item) for item in exclude
    )
