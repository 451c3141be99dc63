"""A container's figures from its control group's files, kept open; the engine's own stats take a second.

Version 1 or 2, told apart by controller: a hybrid machine has an empty version 2 beside the real version 1. Where the
group lies is in /proc/PID/cgroup; a service that may not see other users' processes finds it by the container's id.
Formats: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .procfs import Kept, number_after, pressure_of

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
NANO = 1_000_000_000
MICRO = 1_000_000
UNLIMITED = 1 << 60
"""Version 1 says so of a group without a limit: a number of pages near 2**63."""
CONTROLLERS = ("cpuacct", "cpu", "memory", "pids", "blkio")
FILES = {
    "": (
        "cpu.stat",
        "memory.current",
        "memory.stat",
        "memory.max",
        "memory.events",
        "pids.current",
        "io.stat",
        "memory.pressure",
    ),
    "cpuacct": ("cpuacct.usage",),
    "cpu": ("cpu.stat",),
    "memory": ("memory.usage_in_bytes", "memory.stat", "memory.limit_in_bytes", "memory.oom_control"),
    "pids": ("pids.current",),
    "blkio": ("blkio.throttle.io_service_bytes",),
}
"""Hierarchy -> what is read of a group in it; "" is version 2, and then the only one."""
PARENTS = ("docker/{id}", "system.slice/docker-{id}.scope")
"""Where Docker's two drivers put a container below a hierarchy."""
FOLDERS_MAX = 4_000
DEPTH_MAX = 5

Figures = dict[str, Any]


@dataclass(slots=True)
class _Group:
    """Where one container's files are; the key "" is version 2."""

    folders: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Name -> path of each file that is read."""

    @property
    def whole(self) -> str | None:
        """The folder that has the container's processes."""
        return self.folders.get("") or self.folders.get("memory") or next(iter(self.folders.values()), None)


class Groups:
    """The groups of every container; one thread calls it."""

    def __init__(self, kept: Kept, root: Path = ROOT, proc: Path = PROC) -> None:
        self._kept, self._root, self._proc = kept, root, proc
        self._groups: dict[tuple[str, int | None], _Group] = {}

    def usage(self, container_id: str | None, pid: int | None) -> Figures | None:
        """Its figures now; None when it is gone. `pid` is its first process."""
        group = self._group(container_id, pid)
        if group is None:
            return None
        figures = self._v2(group.files) if "" in group.folders else self._v1(group.files)
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

    def _forget(self, key: tuple[str, int | None]) -> None:
        group = self._groups.pop(key, None)
        for folder in set(group.folders.values()) if group else ():
            self._kept.forget_below(folder)

    # -- where it is -----------------------------------------------------------------------------------------

    def _group(self, container_id: str | None, pid: int | None) -> _Group | None:
        key = (container_id or "", pid)
        found = self._groups.get(key)
        if found is None:
            folders = self._told(container_id, pid) or self._searched(container_id)
            if not folders:
                return None
            found = self._groups[key] = _Group(folders, _files(folders))
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

    # -- what it says ----------------------------------------------------------------------------------------

    def _v1(self, files: dict[str, str]) -> Figures:
        raw = self._kept.raw
        figures: Figures = {}
        if "cpuacct.usage" in files:
            _put(figures, "cpu_s_total", _whole(raw(files["cpuacct.usage"])), NANO)
        if "cpu.stat" in files:
            _put(figures, "throttled_s_total", number_after(raw(files["cpu.stat"]) or b"", b"throttled_time "), NANO)
        if "memory.stat" in files:
            used = _whole(raw(files["memory.usage_in_bytes"]))
            cache = number_after(raw(files["memory.stat"]) or b"", b"\ntotal_inactive_file ")
            _put(figures, "memory_bytes", _less(used, cache))
            limit = _whole(raw(files["memory.limit_in_bytes"]))
            _put(figures, "memory_limit_bytes", limit if limit is not None and limit < UNLIMITED else None)
            _put(figures, "oom_kills", number_after(raw(files["memory.oom_control"]) or b"", b"oom_kill "))
        if "pids.current" in files:
            _put(figures, "processes", _whole(raw(files["pids.current"])))
        if "blkio.throttle.io_service_bytes" in files:
            text = raw(files["blkio.throttle.io_service_bytes"]) or b""
            read, written = _sum_after(text, b" Read "), _sum_after(text, b" Write ")
            figures["read_bytes_total"], figures["written_bytes_total"] = read, written
        return figures

    def _v2(self, files: dict[str, str]) -> Figures:
        raw = self._kept.raw
        figures: Figures = {}
        text = raw(files["cpu.stat"]) or b""
        _put(figures, "cpu_s_total", number_after(text, b"usage_usec "), MICRO)
        _put(figures, "throttled_s_total", number_after(text, b"throttled_usec "), MICRO)
        used = _whole(raw(files["memory.current"]))
        cache = number_after(raw(files["memory.stat"]) or b"", b"\ninactive_file ")
        _put(figures, "memory_bytes", _less(used, cache))
        _put(figures, "memory_limit_bytes", _whole(raw(files["memory.max"])))
        _put(figures, "oom_kills", number_after(raw(files["memory.events"]) or b"", b"\noom_kill "))
        _put(figures, "processes", _whole(raw(files["pids.current"])))
        text = raw(files["io.stat"]) or b""
        if figures:
            figures["read_bytes_total"] = _sum_after(text, b" rbytes=", b" ")
            figures["written_bytes_total"] = _sum_after(text, b" wbytes=", b" ")
            pressure_of(figures, raw(files["memory.pressure"]), "pressure.memory.")
        return figures


def _files(folders: dict[str, str]) -> dict[str, str]:
    """Paths are made once: they are long, and a new text is hashed anew each time."""
    return {name: f"{folders[which]}/{name}" for which, names in FILES.items() if which in folders for name in names}


def _put(figures: Figures, name: str, value: int | None, per: int | None = None) -> None:
    if value is not None:
        figures[name] = value if per is None else value / per


def _less(used: int | None, cache: int | None) -> int | None:
    return None if used is None else max(0, used - (cache or 0))


def _whole(text: bytes | None) -> int | None:
    word = (text or b"").strip()
    return int(word) if word.isdigit() else None


def _sum_after(text: bytes, name: bytes, end: bytes = b"\n") -> int:
    """Sum of the numbers behind each `name`: one for each device."""
    total, at = 0, text.find(name)
    while at >= 0:
        start = at + len(name)
        stop = text.find(end, start)
        total += int(text[start : stop if stop >= 0 else len(text)].split(None, 1)[0])
        at = text.find(name, start)
    return total
