"""The model store: `<models>/<source>/<org>/<name>/<commit>/`, complete and proven, or not there.

A version is built in a staging folder beside it and appears by one rename; `current` is a symlink that is replaced by a
rename. Which revision meant which commit is kept in `refs.json`. Leases are ours, in memory; pins are on disk.
"""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from actors.facts import LocalModel, ModelFacts
from protocol.messages.model_source import ModelSource

from .errors import DownloadError, SpaceError
from .manifest import Manifest, Staging

REFS = "refs.json"
CURRENT = "current"
STAGING = ".staging"
PINNED = ".pinned"
LOCK = ".lock"
FOLDER_MODE = 0o755
FILE_MODE = 0o644


class ModelStore:
    """One folder, one owner. Thread-safe."""

    def __init__(self, root: Path, free_floor_bytes: int, on_lease: Callable[[], None] = lambda: None) -> None:
        self._root, self._floor, self._on_lease = root, free_floor_bytes, on_lease
        self._lock = threading.RLock()
        self._leases: dict[str, Path] = {}
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            what = f"{root} belongs to another running agent"
            raise DownloadError(
                "E_STORE", what, "two owners would corrupt it", "give each its own downloads.models_dir"
            ) from None

    def close(self) -> None:
        """Give the folder up."""
        os.close(self._descriptor)

    # -- bringing --------------------------------------------------------------------------------------------

    def folder(self, manifest: Manifest) -> Path:
        """Where a version is when it is complete."""
        return self._root / manifest.source / manifest.model / manifest.commit

    def staging(self, manifest: Manifest) -> Staging:
        """Where it is built; the same folders again after a restart."""
        base = self._root / STAGING / manifest.key
        staging = Staging(manifest, base / "files", base / "work")
        for folder in (staging.files, staging.work):
            folder.mkdir(parents=True, exist_ok=True)
        return staging

    def reserve(self, manifest: Manifest) -> None:
        """SpaceError, with numbers, when the version does not fit."""
        staged = _size(self.staging(manifest).files.parent)
        needed = manifest.size_bytes - staged + self._floor
        free = shutil.disk_usage(self._root).free
        if needed > free:
            why = f"{manifest.size_bytes} bytes and a floor of {self._floor} are needed, {free} are free"
            raise SpaceError(
                "E_SPACE", f"{manifest.model} does not fit", why, "remove a model, or lower downloads.free_floor_bytes"
            )

    def publish(self, manifest: Manifest) -> Path:
        """The staged version appears, whole; files that earlier pulls of this commit brought stay in it."""
        with self._lock:
            staged, target = self.staging(manifest).files, self.folder(manifest)
            _open_to_engines(staged)
            if target.exists():
                for file in manifest.files:
                    (target / file.name).parent.mkdir(parents=True, exist_ok=True)
                    (staged / file.name).replace(target / file.name)
                shutil.rmtree(staged)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _sync_tree(staged)
                staged.rename(target)
            shutil.rmtree(self.staging(manifest).work.parent)
            _sync(target.parent)
            self._remember(target.parent, manifest.revision, manifest.commit)
            self._point(target.parent, manifest.commit)
        return target

    def has(self, manifest: Manifest) -> bool:
        """Whether every file of the manifest is in the published version."""
        target = self.folder(manifest)
        return all((target / file.name).is_file() for file in manifest.files)

    def _remember(self, repo: Path, revision: str, commit: str) -> None:
        refs = _refs(repo) | {revision: commit, commit: commit}
        _replace(repo / REFS, json.dumps(refs, sort_keys=True).encode())

    def _point(self, repo: Path, commit: str) -> None:
        temporary = repo / f".{CURRENT}.{os.getpid()}.{threading.get_ident()}"
        temporary.symlink_to(commit)
        temporary.replace(repo / CURRENT)
        _sync(repo)

    # -- using -----------------------------------------------------------------------------------------------

    def lease(self, source: ModelSource, holder: str) -> LocalModel | None:
        """The version that the source means, kept for `holder`; None when it is not complete here."""
        with self._lock:
            repo = self._root / source.kind / source.model
            commit = _refs(repo).get(source.revision)
            folder = repo / commit if commit else None
            if folder is None or not folder.is_dir():
                return None
            if source.file is not None and not (folder / source.file).is_file():
                return None
            self._leases[holder] = folder
            files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
            found = LocalModel(source.model, commit or "", str(folder), files, _size(folder))
        self._on_lease()
        return found

    def release(self, holder: str) -> None:
        """The holder needs its version no more."""
        with self._lock:
            self._leases.pop(holder, None)
        self._on_lease()

    def use(self, model: str, revision: str) -> None:
        """Make a version the current one."""
        with self._lock:
            repo, folder = self._find(model, revision)
            self._point(repo, folder.name)

    def pin(self, model: str, revision: str, *, pinned: bool) -> None:
        """Keep a version whatever the space, or not any more."""
        with self._lock:
            _, folder = self._find(model, revision)
            mark = folder.parent / f"{PINNED}.{folder.name}"
            mark.touch() if pinned else mark.unlink(missing_ok=True)

    def remove(self, model: str, revision: str | None, *, force: bool) -> int:
        """Remove one version, or all of a model; how many went. A leased or pinned one stays unless forced."""
        with self._lock:
            chosen = [facts for facts in self.models() if facts.model == model and revision in {None, facts.revision}]
            if not chosen:
                raise DownloadError(
                    "E_NOT_FOUND", f"there is no {model} {revision or ''}".strip(), "", "see: mosalamaagent models"
                )
            busy = [facts for facts in chosen if facts.leases or facts.pinned]
            if busy and not force:
                why = "it is in use" if busy[0].leases else "it is pinned"
                raise DownloadError(
                    "E_BUSY", f"{model} {busy[0].revision} was not removed", why, "stop its engine, or force it"
                )
            for facts in chosen:
                self._discard(Path(facts.path))
            return len(chosen)

    def _discard(self, folder: Path) -> None:
        """Out of sight by one rename, then gone."""
        repo = folder.parent
        current = repo / CURRENT
        if current.is_symlink() and current.readlink() == Path(folder.name):
            current.unlink()
        doomed = repo / f".removed.{folder.name}"
        folder.rename(doomed)
        shutil.rmtree(doomed)

    def _find(self, model: str, revision: str) -> tuple[Path, Path]:
        for facts in self.models():
            if facts.model == model and (
                facts.revision == revision or _refs(Path(facts.path).parent).get(revision) == facts.revision
            ):
                return Path(facts.path).parent, Path(facts.path)
        raise DownloadError("E_NOT_FOUND", f"there is no {model} {revision}", "", "see: mosalamaagent models")

    def models(self) -> tuple[ModelFacts, ...]:
        """Every complete version."""
        with self._lock:
            return tuple(self._models())

    def _models(self) -> Iterator[ModelFacts]:
        for refs in sorted(self._root.glob(f"*/**/{REFS}")):
            repo = refs.parent
            if STAGING in repo.parts:
                continue
            current = str((repo / CURRENT).readlink()) if (repo / CURRENT).is_symlink() else None
            for folder in sorted(path for path in repo.iterdir() if path.is_dir() and not path.is_symlink()):
                if folder.name.startswith("."):
                    continue
                yield ModelFacts(
                    model="/".join(repo.relative_to(self._root).parts[1:]),
                    revision=folder.name,
                    path=str(folder),
                    size_bytes=_size(folder),
                    current=folder.name == current,
                    pinned=(repo / f"{PINNED}.{folder.name}").exists(),
                    leases=sum(1 for held in self._leases.values() if held == folder),
                )


def _open_to_engines(folder: Path) -> None:
    """Engines run as users of their own: a version is readable by all, whatever the daemon's umask is."""
    folder.chmod(FOLDER_MODE)
    for path in folder.rglob("*"):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def _refs(repo: Path) -> dict[str, str]:
    try:
        found = json.loads((repo / REFS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in [folder, *(inner for inner in folder.rglob("*") if inner.is_dir())]:
        _sync(path)
