"""What one version of a model consists of, and where each part may be had. Pure."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from .errors import SourceError

FILES_MAX = 100_000
NAME_MAX_CHARS = 512
PART_MAX_BYTES = 255
"""Of one part of a path, by every file system we meet."""
Proof = Literal["sha256", "git-sha1"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file with what proves it: SHA-256 of its bytes, or the SHA-1 of it as a git blob."""

    name: str
    """Relative, with slashes; `check_names` has seen it."""
    size_bytes: int
    proof: Proof
    digest: str
    """Lower-case hex."""
    urls: tuple[str, ...]
    """Mirrors of the same bytes, best first: addresses that stay good, and may redirect to signed ones that expire."""


@dataclass(frozen=True, slots=True)
class UnsizedFile:
    """One file whose size nobody says before it is there: it comes in one stream, and its SHA-256 proves it."""

    name: str
    sha256: str
    """Lower-case hex."""
    urls: tuple[str, ...]
    size_max_bytes: int | None = None
    """What it may have at most, beside what the store has room for."""

    def sized(self, size_bytes: int) -> RemoteFile:
        """The same file, now that its size is known."""
        return RemoteFile(self.name, size_bytes, "sha256", self.sha256, self.urls)


Renew = Callable[[str], tuple[str, ...]]
"""From the name of a file to its addresses as they are now; blocking, DownloadError when there is none."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole version: the plan of a transfer."""

    source: str
    """First part of the path in the store: hub, https, path, manifest, or the scheme of an added source."""
    model: str
    """ORG/NAME: the next two parts."""
    revision: str
    """As it was asked for."""
    commit: str
    """What it means, in hex: the last part."""
    files: tuple[RemoteFile, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Credentials. They go to `origin` only, whatever redirects and mirrors say."""
    origin: str = ""
    """`scheme://host:port` that `headers` are bound to; see address.origin_of."""
    renew: Renew | None = None
    """Who can resolve an address again, when those of a file expire themselves; None: ask the same address again."""
    unsized: tuple[UnsizedFile, ...] = ()
    """Files whose size is not known yet; they come first, and are among `files` then."""

    @property
    def size_bytes(self) -> int:
        """All of it, as far as sizes are known."""
        return sum(file.size_bytes for file in self.files)

    def sized(self, file: RemoteFile) -> "Manifest":
        """The same, with one file more whose size is known now."""
        left = tuple(one for one in self.unsized if one.name != file.name)
        return replace(self, files=(*self.files, file), unsized=left)

    @property
    def key(self) -> str:
        """The version's path in the store."""
        return f"{self.source}/{self.model}/{self.commit}"


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a version is built; the same folders again after a restart, on the store's own file system."""

    manifest: Manifest
    files: Path
    """Complete and proven files only, under their own names: what stands here is published."""
    work: Path
    """For the transfer's partials and journals, named as it likes; never published, goes with the staging."""


def check_names(names: Iterable[str]) -> None:
    """SourceError for a name that could leave the version's folder, hide another, or not be written."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for count, name in enumerate(names, 1):
        if count > FILES_MAX:
            raise SourceError("E_TOO_LARGE", f"the model has more than {FILES_MAX} files", "", "use include patterns")
        why = _unsafe(name)
        if why:
            raise SourceError(
                "E_POLICY.path", "the model has a file name that is not safe", f"{name[:80]!r}: {why}", "exclude it"
            )
        other = seen.get(_alike(name))
        if other is not None:
            raise _clash("two files have one name" if other == name else "two file names differ by case", other, name)
        seen[_alike(name)] = name
        for end in (place for place, letter in enumerate(name) if letter == "/"):
            above = folders.setdefault(_alike(name[:end]), name[:end])
            if above != name[:end]:
                raise _clash("two folder names differ by case only", above, name[:end])
    both = next((name for key, name in seen.items() if key in folders), None)
    if both is not None:
        raise _clash("a name is a file and a folder", both, both + "/")


def _unsafe(name: str) -> str:
    parts = name.split("/")
    if not name or len(name) > NAME_MAX_CHARS:
        return f"a name has 1 to {NAME_MAX_CHARS} letters"
    if name.startswith(("/", "~")) or "\\" in name or any(part in {"", ".", ".."} for part in parts):
        return "it could leave the model's folder"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "it has control characters"
    try:
        long = any(len(part.encode()) > PART_MAX_BYTES for part in parts)
    except UnicodeEncodeError:
        return "it is not Unicode"
    return f"a part is longer than {PART_MAX_BYTES} bytes" if long else ""


def _alike(name: str) -> str:
    """The same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _clash(what: str, one: str, other: str) -> SourceError:
    return SourceError("E_POLICY.path", what, f"{one[:80]!r} and {other[:80]!r}", "exclude one of them")


def wanted(name: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Whether a file passes the patterns: included by one or by having none, excluded by none.

    As huggingface_hub has it: a star stands for slashes too, and `folder/` means everything under it.
    """
    chosen = list(include)
    return (not chosen or any(_matches(name, item) for item in chosen)) and not any(
        _matches(name, item) for item in exclude
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern + "*" if pattern.endswith("/") else pattern)
