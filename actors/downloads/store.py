"""The model store: `<models>/<source>/<org>/<name>/<commit>/`, complete and proven, or not there.

A version is built in a staging folder beside it and appears by one rename; `current` is a symlink that is replaced by a
rename. Everything is on disk before anybody is told: what versions consist of, pins, leases, what revisions mean.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from actors.facts import LocalModel, ModelFacts
from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from . import building, disk, records
from .building import Prepared
from .collection import Bounds, Doomed, Plan, Stored, collect
from .errors import SpaceError, StoreError
from .leases import Leases
from .manifest import Manifest, RemoteFile, Staging
from .meaning import find, meant
from .owner import Owner
from .proof import Read, unread
from .records import Version
from .space import Space, above_watermark, explained, missing
from .survey import CURRENT, STAGING, Survey, current, facts, scan

TRASH = ".trash"
SEE = "see: mosalamaagent models"


class ModelStore:
    """One folder, one owner. Thread-safe; nothing here waits for another while it holds the lock."""

    def __init__(
        self,
        settings: DownloadsSettings,
        on_change: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._on_change, self._wall = settings, on_change, wall
        self._root = root = settings.models_dir
        self._owner = Owner(root)
        self._lock = threading.RLock()
        self._leases = Leases(root, self._owner.mine)
        self._versions = {version.key: version for version in scan(root)}
        self._promised: dict[str, int] = {}
        """Key of each version that is being built -> bytes that it will have on disk when it is whole."""
        self._survey = Survey(root, settings)

    def close(self) -> None:
        """Give the folder up."""
        self._owner.close()

    # -- bringing --------------------------------------------------------------------------------------------

    def begin(self, manifest: Manifest) -> Staging | None:
        """Where the version is built: the same folders again after a restart. None while another builds it."""
        with self._lock:
            self._owner.check()
            if manifest.key in self._promised:
                return None
            base = self._root / STAGING / manifest.key
            staging = Staging(manifest, base / "files", base / "work")
            for folder in (staging.files, staging.work):
                folder.mkdir(parents=True, exist_ok=True)
            self._touch(base)
            self._promised[manifest.key] = 0
            return staging

    def end(self, manifest: Manifest) -> None:
        """Nobody builds it any more; what is there is kept for the next time, within the bounds of partials."""
        with self._lock:
            if self._promised.pop(manifest.key, None) is not None:
                base = self._root / STAGING / manifest.key
                for folder in (base / "files", base / "work"):
                    disk.prune_upwards(folder, self._root / STAGING)  # when nothing came there is nothing to keep
                self._touch(base)

    def _touch(self, base: Path) -> None:
        """A partial's age counts from the last transfer that was at work on it."""
        if base.is_dir():
            os.utime(base, (self._wall(), self._wall()))

    def prepare(self, staging: Staging, read: Read = unread) -> tuple[Prepared, tuple[Doomed, ...]]:
        """Take what is here already and reserve the rest before the first byte: what is lacking, and what had to go.

        Raises:
            SpaceError: with every number, and nothing was removed for it.

        """
        manifest = staging.manifest
        with self._lock:
            version, versions = self._versions.get(manifest.key), tuple(self._versions.values())
        kept = {one.name for one in building.in_place(version, manifest.files)}
        absent = [file for file in manifest.files if file.name not in kept]
        building.link_unrecorded(staging, self._root / manifest.key, absent, read)
        building.link_known(staging, absent, versions, self._found_damaged, read)
        building.link_twins(staging, absent)
        lacking = tuple(file for file in absent if not building.intact(staging.files, file.name, file.size_bytes))
        doomed = self._reserve(staging, lacking)
        lacking_bytes = sum(file.size_bytes for file in lacking)
        return Prepared(staging, lacking, manifest.size_bytes - lacking_bytes), doomed

    def _reserve(self, staging: Staging, lacking: tuple[RemoteFile, ...]) -> tuple[Doomed, ...]:
        base = staging.files.parent
        with self._lock:
            there = disk.allocated(base)
            begun = disk.allocated(staging.work)
            needed = max(0, sum(file.size_bytes for file in lacking) - begun)
            space = self._space()
            plan = self._plan(missing(space, needed))
            if plan.short_bytes:
                what = f"{staging.manifest.model} does not fit"
                do = f"remove or unpin a model ({SEE}), or change downloads.quota_bytes or free_floor_bytes"
                raise SpaceError("E_SPACE", what, explained(space, needed), do)
            self._discard(plan.doomed)
            self._promised[staging.manifest.key] = there + needed
        self.sweep()
        return plan.doomed

    def grow(self, staging: Staging, least_bytes: int, most_bytes: int) -> int:
        """Room for so many bytes more of a file whose size nobody knows, before they are written; SpaceError.

        Nothing is removed for it: nobody can say whether that would be enough.
        """
        base = staging.files.parent
        with self._lock:
            there = self._promised[staging.manifest.key] = disk.allocated(base)
            space = self._space()
            if space.room_bytes < least_bytes:
                why = f"its size is not known; {explained(space, least_bytes)}"
                do = "free space (mosalamaagent model gc --free-bytes N), or pull it from a source that says its size"
                raise SpaceError("E_SPACE", f"{staging.manifest.model} does not fit", why, do)
            granted = min(most_bytes, space.room_bytes)
            self._promised[staging.manifest.key] = there + granted
            return granted

    def publish(self, staging: Staging, read: Read = unread) -> Path:
        """The staged version appears, whole; files that earlier pulls of this commit brought stay in it."""
        manifest, target = staging.manifest, self._root / staging.manifest.key
        with self._lock:
            before = self._versions.get(manifest.key)
        there = building.in_place(before, manifest.files)
        names = {one.name for one in there}
        new = building.prove(staging, [file for file in manifest.files if file.name not in names], read)
        building.sweep_extras(staging.files, (one.name for one in new))
        disk.open_to_engines(staging.files)
        disk.sync_tree(staging.files)
        with self._lock:
            self._owner.check()
            if before is not None and manifest.key not in self._versions:
                what = f"{manifest.model} was removed while it was brought"
                raise StoreError(
                    "E_BUSY", what, "a part of it was in the version that went", "pull it again", retry=True
                )
            if new or before is None:
                self._appear(staging, target, before, new)
            self._refer(manifest)
            self._survey.forget()
            disk.throw_away(staging.files.parent, self._root / TRASH)
            disk.prune_upwards(staging.files.parent.parent, self._root / STAGING)
        self.sweep()
        self._on_change()
        return target

    def _appear(
        self, staging: Staging, target: Path, before: Version | None, new: tuple[records.KeptFile, ...]
    ) -> None:
        """By the rename of its folder; or, when it is there, file by file, counted once its record says so."""
        manifest, repo = staging.manifest, target.parent
        known = {one.name: one for one in (records.load_files(repo, manifest.commit) or ()) if before is not None}
        whole = tuple((known | {one.name: one for one in new}).values())
        if target.is_dir():
            building.move_into(staging.files, target, [one.name for one in new])
            records.save_files(repo, manifest.commit, whole)
        else:
            repo.mkdir(parents=True, exist_ok=True)
            records.save_files(repo, manifest.commit, whole)
            staging.files.rename(target)
        disk.sync(repo)
        version = records.load_version(self._root, manifest.source, manifest.model, manifest.commit)
        assert version is not None, "it was published this moment"
        fixed = {one.name for one in new}
        now = self._wall()
        damaged = tuple(name for name in version.state.damaged if name not in fixed)
        state = replace(version.state, published_at=now, used_at=now, verified_at=now, damaged=damaged)
        self._versions[version.key] = records.save_state(version, state)

    def _refer(self, manifest: Manifest) -> None:
        repo = self._root / manifest.source / manifest.model
        refs, becomes = records.after_pull(records.load_refs(repo), manifest, current(repo))
        records.save_refs(repo, refs)
        if becomes:
            disk.point(repo / CURRENT, manifest.commit)

    # -- using -----------------------------------------------------------------------------------------------

    def lease(self, source: ModelSource, holder: str) -> LocalModel | None:
        """The version that the source means, kept for `holder` until it releases it, over restarts of the daemon.

        None when it is not complete here, or known to be damaged.
        """
        with self._lock:
            repo = self._root / source.family / source.model
            commit = meant(source, records.load_refs(repo), current(repo))
            return self._lease(self._versions.get(f"{source.family}/{source.model}/{commit}"), source, holder)

    def keep(self, source: ModelSource, holder: str) -> LocalModel | None:
        """The version that the holder has already: an engine that is adopted stays on what it was started with."""
        with self._lock:
            version = self._versions.get(self._leases.of(holder) or "")
            if version is not None and version.model == source.model:
                return self._lease(version, source, holder, damaged_too=True)
            return self.lease(source, holder)

    def _lease(
        self, version: Version | None, source: ModelSource, holder: str, *, damaged_too: bool = False
    ) -> LocalModel | None:
        if version is None or not version.folder.is_dir():
            return None
        if self._leases.of(holder) != version.key and not self._owner.mine():
            return None  # another agent has the folder, and would not know that this is used
        names = tuple(one.name for one in records.load_files(version.repo, version.commit) or ())
        needed = names if source.file is None else (source.file,)
        if not set(needed) <= set(names) or (not damaged_too and set(needed) & set(version.state.damaged)):
            return None
        self._leases.take(holder, version.key)
        self._used(version)
        self._on_change()
        return LocalModel(version.model, version.commit, str(version.folder), names, version.size_bytes)

    def move(self, holder: str, to: str) -> bool:
        """What one holder has, another has from now on; False when it has nothing."""
        with self._lock:
            key = self._leases.of(holder)
            if key is None:
                return False
            self._leases.take(to, key)
            self._leases.drop(holder)
        self._on_change()
        return True

    def release(self, holder: str) -> bool:
        """The holder needs its version no more; False when it has none."""
        with self._lock:
            key = self._leases.drop(holder)
            version = self._versions.get(key or "")
            if version is not None:
                self._used(version)
        if key is not None:
            self._on_change()
        return key is not None

    def _used(self, version: Version) -> None:
        self._versions[version.key] = records.save_state(version, replace(version.state, used_at=self._wall()))

    def use(self, model: str, revision: str) -> str:
        """Make a version the current one; its commit. Named by a branch or tag, `current` follows that from now on."""
        with self._lock:
            self._owner.check()
            version = self._find(model, revision)
            refs = records.load_refs(version.repo)
            records.save_refs(version.repo, replace(refs, follows=revision if revision in refs.revisions else ""))
            disk.point(version.repo / CURRENT, version.commit)
            self._used(version)
            return version.commit

    def pin(self, model: str, revision: str, *, pinned: bool) -> str:
        """Keep a version whatever the space, or not any more; its commit."""
        with self._lock:
            self._owner.check()
            version = self._find(model, revision)
            self._versions[version.key] = records.save_state(version, replace(version.state, pinned=pinned))
            return version.commit

    def chosen(self, model: str, revision: str | None) -> tuple[Version, ...]:
        """The version that is named, or all of a model; StoreError when there is none."""
        with self._lock:
            if revision is not None:
                return (self._find(model, revision),)
            found = tuple(version for version in self._versions.values() if version.model == model)
            if not found:
                raise StoreError("E_NOT_FOUND", f"there is no model {model}", "", SEE)
            return found

    def _find(self, model: str, revision: str) -> Version:
        of_model = [version for version in self._versions.values() if version.model == model]
        found = []
        for repo in dict.fromkeys(version.repo for version in of_model):
            here = {version.commit: version for version in of_model if version.repo == repo}
            found += [here[commit] for commit in find(revision, here, records.load_refs(repo).revisions, current(repo))]
        if len(found) > 1:
            why = ", ".join(version.key for version in found[:4])
            raise StoreError("E_AMBIGUOUS", f"{model} {revision} means several versions", why, "name the whole commit")
        if not found:
            raise StoreError("E_NOT_FOUND", f"there is no {model} {revision}", "", SEE)
        return found[0]

    # -- removing --------------------------------------------------------------------------------------------

    def remove(self, model: str, revision: str | None, *, force: bool) -> int:
        """Remove one version, or all of a model; how many went. `sweep` frees the space."""
        with self._lock:
            self._owner.check()
            chosen = self.chosen(model, revision)
            for version in chosen:
                holders = self._leases.holders(version.key)
                why = f"{', '.join(holders)} uses it" if holders else "it is pinned" if version.state.pinned else ""
                why = why or ("a transfer adds to it" if version.key in self._promised else "")
                if why and not force:
                    what, do = f"{model} {version.commit} was not removed", "stop what uses it or unpin it, or force it"
                    raise StoreError("E_BUSY", what, why, do)
            self._discard([Doomed(version.key, partial=False, why="removed", frees_bytes=0) for version in chosen])
        self._on_change()
        return len(chosen)

    def gc(self, free_bytes: int | None = None, *, dry_run: bool = False) -> Plan:
        """Remove what nobody uses until `free_bytes` may come; None: if over the high mark, to the low one."""
        with self._lock:
            self._owner.check()
            space, settings = self._space(), self._settings
            need = above_watermark(space, settings.high_percent, settings.low_percent)
            plan = self._plan(need if free_bytes is None else missing(space, free_bytes), partly=True)
            if not dry_run:
                self._discard(plan.doomed)
        if plan.doomed and not dry_run:
            self.sweep()
            self._on_change()
        return plan

    def littered(self) -> bool:
        """Whether anything was thrown away and still takes space."""
        trash = self._root / TRASH
        return trash.is_dir() and any(trash.iterdir())

    def sweep(self) -> None:
        """Free the space of what was thrown away; blocking."""
        disk.empty(self._root / TRASH)

    def _discard(self, doomed: Sequence[Doomed]) -> None:
        for one in doomed:
            folder = self._root / one.key
            version = self._versions.pop(one.key, None)
            if version is not None and current(version.repo) == version.commit:
                (version.repo / CURRENT).unlink()
            if folder.is_dir():
                disk.throw_away(folder, self._root / TRASH)
                disk.prune_upwards(folder.parent, self._root / STAGING)
            if version is not None:
                records.forget(version.repo, version.commit)
        self._survey.forget()

    def _plan(self, need_bytes: int, *, partly: bool = False) -> Plan:
        set_ = self._settings
        bounds = Bounds(set_.young_s, set_.unused_age_s, set_.partial_budget_bytes, set_.partial_age_s)
        return collect(self._stored(), bounds, self._wall(), need_bytes, partly=partly)

    # -- looking ---------------------------------------------------------------------------------------------

    def space(self) -> Space:
        """How full it is."""
        with self._lock:
            return self._space()

    def _space(self) -> Space:
        return self._survey.space(self._stored(), self._promised)

    def _stored(self) -> tuple[Stored, ...]:
        return self._survey.stored(self._versions.values(), self._leases, self._promised)

    def verified(self, version: Version, damaged: tuple[str, ...]) -> None:
        """The version was read again; these of its files are wrong."""
        with self._lock:
            known = self._versions.get(version.key)
            if known is not None:
                state = replace(known.state, verified_at=self._wall(), damaged=damaged)
                self._versions[version.key] = records.save_state(known, state)
        self._on_change()

    def _found_damaged(self, version: Version, name: str) -> None:
        with self._lock:
            known = self._versions.get(version.key)
            if known is not None and name not in known.state.damaged:
                state = replace(known.state, damaged=(*known.state.damaged, name))
                self._versions[version.key] = records.save_state(known, state)
        self._on_change()

    def versions(self) -> tuple[Version, ...]:
        """Every complete version, by its key."""
        with self._lock:
            return tuple(self._versions[key] for key in sorted(self._versions))

    def models(self) -> tuple[ModelFacts, ...]:
        """The same, as other rooms see them."""
        with self._lock:
            return tuple(facts(version, self._leases.holders(version.key)) for version in self.versions())
