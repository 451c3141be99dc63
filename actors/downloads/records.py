"""What the store remembers of each version, beside it and never inside: `<source>/<org>/<name>/.store/`.

`COMMIT.files.json` says what the version consists of, with a SHA-256 of ours for every file: a version is there when it
has this and its folder. `COMMIT.state.json` has what changes: pin, last use, last verification. `refs.json` has which
revision meant which commit, and which revision `current` follows.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .disk import read_json, write_json
from .manifest import Manifest, RemoteFile

FOLDER = ".store"
COMMIT = re.compile(r"[0-9a-f]{40,64}\Z")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file as it was proven."""

    name: str
    size_bytes: int
    sha256: str
    proof: str
    digest: str


@dataclass(frozen=True, slots=True)
class State:
    """What changes of a version; times are seconds since the epoch."""

    published_at: float = 0.0
    used_at: float = 0.0
    verified_at: float = 0.0
    pinned: bool = False
    damaged: tuple[str, ...] = ()
    """Files that were found wrong; a version that has some is leased to nobody until a pull mends it."""


@dataclass(frozen=True, slots=True)
class Refs:
    """Of one repository."""

    revisions: Mapping[str, str] = field(default_factory=dict)
    follows: str = ""
    """The revision whose new commits become current; empty: whoever chose the current one chose just that one."""


@dataclass(frozen=True, slots=True)
class Version:
    """One complete version, without its list of files."""

    root: Path
    source: str
    model: str
    commit: str
    size_bytes: int
    files: int
    state: State

    @property
    def key(self) -> str:
        """Its path in the store."""
        return f"{self.source}/{self.model}/{self.commit}"

    @property
    def repo(self) -> Path:
        """The folder of all its versions."""
        return self.root / self.source / self.model

    @property
    def folder(self) -> Path:
        """Its files."""
        return self.repo / self.commit


def files_path(repo: Path, commit: str) -> Path:
    """Where the list of a version's files is."""
    return repo / FOLDER / f"{commit}.files.json"


def _state_path(repo: Path, commit: str) -> Path:
    return repo / FOLDER / f"{commit}.state.json"


def load_files(repo: Path, commit: str) -> tuple[KeptFile, ...] | None:
    """What the version consists of, by name; None when that is not known: then there is no such version."""
    found = read_json(files_path(repo, commit)).get("files")
    if not isinstance(found, list):
        return None
    try:
        return tuple(
            KeptFile(
                str(one["name"]), int(one["size_bytes"]), str(one["sha256"]), str(one["proof"]), str(one["digest"])
            )
            for one in found
        )
    except (TypeError, KeyError, ValueError):
        return None


def save_files(repo: Path, commit: str, files: tuple[KeptFile, ...]) -> None:
    """From now on the version is there, and consists of these."""
    write_json(files_path(repo, commit), {"files": [asdict(one) for one in sorted(files, key=lambda one: one.name)]})


def load_version(root: Path, source: str, model: str, commit: str) -> Version | None:
    """The version, when it is complete."""
    repo = root / source / model
    files = load_files(repo, commit)
    if files is None or not (repo / commit).is_dir() or (repo / commit).is_symlink():
        return None
    state = _load_state(repo, commit)
    if not state.used_at:  # cut in the middle of its publication: it is as young as its record
        state = replace(state, used_at=files_path(repo, commit).stat().st_mtime)
    return Version(root, source, model, commit, sum(one.size_bytes for one in files), len(files), state)


def _load_state(repo: Path, commit: str) -> State:
    found = read_json(_state_path(repo, commit))
    times = {name: _number(found.get(name)) for name in ("published_at", "used_at", "verified_at")}
    damaged = found.get("damaged")
    names = tuple(str(name) for name in damaged) if isinstance(damaged, list) else ()
    return State(pinned=found.get("pinned") is True, damaged=names, **times)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def save_state(version: Version, state: State) -> Version:
    """The same version in its new state, on disk."""
    write_json(_state_path(version.repo, version.commit), asdict(state))
    return replace(version, state=state)


def forget(repo: Path, commit: str) -> None:
    """There is no such version any more; what is left of it is nothing's."""
    for file in (files_path(repo, commit), _state_path(repo, commit)):
        file.unlink(missing_ok=True)
    refs = load_refs(repo)
    left = {name: meant for name, meant in refs.revisions.items() if meant != commit}
    if left != refs.revisions:
        save_refs(repo, replace(refs, revisions=left))


def load_refs(repo: Path) -> Refs:
    """Which revision meant which commit."""
    found = read_json(repo / FOLDER / "refs.json")
    revisions = found.get("revisions")
    known = {str(name): str(commit) for name, commit in revisions.items()} if isinstance(revisions, dict) else {}
    return Refs({name: commit for name, commit in known.items() if COMMIT.match(commit)}, str(found.get("follows", "")))


def save_refs(repo: Path, refs: Refs) -> None:
    """The same, on disk."""
    write_json(repo / FOLDER / "refs.json", {"revisions": dict(refs.revisions), "follows": refs.follows})


def after_pull(refs: Refs, manifest: Manifest, current: str | None) -> tuple[Refs, bool]:
    """The references after a pull, and whether its version becomes the current one. Pure.

    It does when there is none yet, or when `current` follows the very revision that was pulled: a pull of an old
    commit, or of another branch, switches nothing.
    """
    revisions = {**refs.revisions, manifest.revision: manifest.commit}
    if current is None:
        return Refs(revisions, "" if manifest.revision == manifest.commit else manifest.revision), True
    return replace(refs, revisions=revisions), refs.follows == manifest.revision


def same(kept: KeptFile, wanted: RemoteFile) -> bool:
    """Whether the kept file is proven to be the wanted one."""
    known = {kept.sha256, *((kept.digest,) if kept.proof == wanted.proof else ())}
    if wanted.proof == "git-sha1":
        known = {kept.digest} if kept.proof == "git-sha1" else set()
    return kept.size_bytes == wanted.size_bytes and wanted.digest in known
