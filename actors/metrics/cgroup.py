"""A container's figures from its control group's files, kept open; the engine's own stats take a second.

Version 1 or 2, told apart by controller: a hybrid machine has an empty version 2 beside the real version 1. Where the
group lies is in /proc/PID/cgroup; a service that may not see other users' processes finds it by the container's id.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .cgroup_files import CACHE, SOURCES, Figures, Put
from .procfs import READ_BYTES, WHOLE_BYTES, Kept, number_after, read_on

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
CONTROLLERS = ("cpuacct", "cpu", "memory", "pids", "blkio")
SLOW_LOOKS = 3
"""What is slow is read at every so many looks; not of every container at the same one."""
CACHE_LOOKS = 6
"""How much of the memory in use may be dropped is asked at every so many looks, and when the memory moved."""
MOVED_BYTES = 1 << 20
MOVED_PARTS = 256
"""It moved when it is other by more than this and one of so many parts of it."""
PARENTS = ("docker/{id}", "system.slice/docker-{id}.scope")
"""Where Docker's two drivers put a container below a hierarchy."""
SEARCH_LOOKS = 12
FOLDERS_MAX = 4_000
DEPTH_MAX = 5


class Group:
    """One container's group. Its paths are made once: they are long, and a new text is hashed anew each time."""

    def __init__(self, kept: Kept, folders: Mapping[str, str], number: int) -> None:
        """`number` tells whose turn it is to be looked at slowly."""
        self._kept, self.folders, self._number = kept, folders, number
        self._looks = 0
        self._files = tuple(
            (f"{folder}/{source.name}", source) for which, folder in folders.items() for source in SOURCES[which]
        )
        self._fast: list[tuple[int, Put]] = []
        self._slow: list[tuple[int, Put]] = []
        """Descriptors of the files that can be read."""
        self._left_out = True
        self._lasting: Figures = {}
        """What the last slow look said."""
        self._stat = next(((f"{folders[one]}/memory.stat", row) for one, row in CACHE.items() if one in folders), None)
        self._cache_bytes = 0
        self._asked_bytes: int | None = None
        """Memory in use when it was asked how much of it may be dropped."""

    @property
    def whole(self) -> str | None:
        """The folder that has the container's processes."""
        return self.folders.get("") or self.folders.get("memory") or next(iter(self.folders.values()), None)

    def usage(self) -> Figures:
        """Its figures now; none when it is gone."""
        turn, first = self._looks + self._number, self._looks == 0
        self._looks += 1
        slow = first or turn % SLOW_LOOKS == 0
        if turn % CACHE_LOOKS == 0:
            self._asked_bytes = None
        if slow and self._left_out:
            return self._one_by_one()
        try:
            if slow:
                self._lasting = _read(self._slow, {})
            return self._without_cache(_read(self._fast, self._lasting.copy()))
        except (OSError, ValueError):
            return self._one_by_one()

    def _one_by_one(self) -> Figures:
        """At first, and when one fails: what cannot be read or understood is left out until a slow look."""
        self._fast, self._slow, self._lasting, self._left_out = [], [], {}, False
        figures: Figures = {}
        for path, source in self._files:
            files, known = (self._slow, self._lasting) if source.slow else (self._fast, figures)
            try:
                file = (self._kept.descriptor(path), source.put)
                known.update(_read([file], {}))
                files.append(file)
            except (OSError, ValueError):
                self._kept.forget(path)
                self._left_out = True
        return self._without_cache(self._lasting | figures)

    def _without_cache(self, figures: Figures) -> Figures:
        """What may be dropped is not in use. It is dear to ask: only when the memory moved since, and at slow looks."""
        used = figures.get("memory_bytes")
        if used is not None and self._stat is not None:
            asked = self._asked_bytes
            if asked is None or abs(used - asked) > MOVED_BYTES + used // MOVED_PARTS:
                path, row = self._stat
                self._cache_bytes, self._asked_bytes = number_after(self._kept.raw(path) or b"", row) or 0, used
            figures["memory_bytes"] = max(0, used - self._cache_bytes)
        return figures


def _read(files: Sequence[tuple[int, Put]], figures: Figures) -> Figures:
    for descriptor, put in files:
        text = os.pread(descriptor, READ_BYTES, 0)
        put(figures, text if len(text) < WHOLE_BYTES else read_on(descriptor, text))
    return figures


class Groups:
    """The groups of every container; one thread calls it."""

    def __init__(self, kept: Kept, root: Path = ROOT, proc: Path = PROC) -> None:
        self._kept, self._root, self._proc = kept, root, proc
        self._groups: dict[tuple[str, int | None], Group] = {}
        self._not_found: dict[tuple[str, int | None], int] = {}
        """Container -> looks until it is searched again; with its next process it is another one here."""

    def usage(self, container_id: str | None, pid: int | None) -> Figures | None:
        """Its figures now; None when it is gone. `pid` is its first process."""
        group = self._group(container_id, pid)
        if group is None:
            return None
        figures = group.usage()
        if not figures:
            self._forget((container_id or "", pid))
            return None
        return figures

    def processes(self, container_id: str | None, pid: int | None) -> frozenset[int]:
        """Process ids in the container, as this process sees them."""
        group = self._group(container_id, pid)
        folder = None if group is None else group.whole
        raw = None if folder is None else self._kept.raw(f"{folder}/cgroup.procs")
        return frozenset(int(word) for word in (raw or b"").split())

    def keep_only(self, containers: set[tuple[str, int | None]]) -> None:
        """Close the files of every other container."""
        for key in [key for key in self._groups if key not in containers]:
            self._forget(key)
        self._not_found = {key: left for key, left in self._not_found.items() if key in containers}

    def _forget(self, key: tuple[str, int | None]) -> None:
        group = self._groups.pop(key, None)
        for folder in set(group.folders.values()) if group else ():
            self._kept.forget_below(folder)

    # -- where it is -----------------------------------------------------------------------------------------

    def _group(self, container_id: str | None, pid: int | None) -> Group | None:
        key = (container_id or "", pid)
        found = self._groups.get(key)
        if found is None:
            folders = self._told(container_id, pid) or self._searched_seldom(key)
            if not folders:
                return None
            found = self._groups[key] = Group(self._kept, folders, len(self._groups))
        return found

    def _told(self, container_id: str | None, pid: int | None) -> dict[str, str]:
        """By the process's own word; a process id that now belongs to another tells of another container."""
        if pid is None:
            return {}
        try:
            text = (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        folders: dict[str, str] = {}
        for line in text.splitlines():
            _, controllers, group = line.split(":", 2)
            for controller in controllers.split(","):
                if container_id is None or container_id in group:
                    folders[controller] = group
        return self._present(folders)

    def _searched_seldom(self, key: tuple[str, int | None]) -> dict[str, str]:
        """A container that does not run has no group, and to find that out takes longer than to look at ten others."""
        left = self._not_found.get(key, 0)
        folders = {} if left else self._searched(key[0])
        self._not_found[key] = left - 1 if left else SEARCH_LOOKS
        if folders:
            del self._not_found[key]
        return folders

    def _searched(self, container_id: str | None) -> dict[str, str]:
        if not container_id:
            return {}
        found: dict[str, str] = {}
        for controller in ("", *CONTROLLERS):
            usual = (parent.format(id=container_id) for parent in PARENTS)
            place = next((place for place in usual if (self._root / controller / place).is_dir()), None)
            if place is None and (controller == "" or "" not in found):
                place = self._walked(controller, container_id)
            if place is not None:
                found[controller] = f"/{place}"
        return self._present(found)

    def _walked(self, controller: str, container_id: str) -> str | None:
        """Below another parent: Docker was told to put it there. Bounded in folders and depth."""
        top = self._root / controller
        if controller == "" and not (top / "cgroup.controllers").exists():
            return None
        for seen, (folder, names, _) in enumerate(os.walk(top)):
            depth = len(Path(folder).relative_to(top).parts)
            for name in names:
                if container_id in name:
                    return str((Path(folder) / name).relative_to(top))
            if depth >= DEPTH_MAX or seen > FOLDERS_MAX:
                names.clear()
        return None

    def _present(self, groups: dict[str, str]) -> dict[str, str]:
        """Folders of the hierarchies that have controllers: version 2 when it has memory, else version 1."""
        unified = groups.get("")
        if unified is not None:
            folder = f"{self._root}{unified}".rstrip("/")
            if os.access(f"{folder}/memory.current", os.R_OK):
                return {"": folder}
        folders = {name: f"{self._root}/{name}{groups[name]}".rstrip("/") for name in CONTROLLERS if name in groups}
        return {name: folder for name, folder in folders.items() if Path(folder).is_dir()}
