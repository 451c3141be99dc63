"""A container's figures from its cgroup files, v1 or v2 by controller; the engine's own stats call takes a second."""

from dataclasses import dataclass

from .procfs import Kept

ROOT = "/sys/fs/cgroup"
NANO = 1_000_000_000
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """One container at one moment; memory without the cache that the kernel may drop."""

    cpu_s: float | None
    memory_bytes: int | None
    processes: int | None
    oom_kills: int | None


def groups_of(kept: Kept, pid: int) -> dict[str, str]:
    """Controller -> folder of its files; the key "" is the unified hierarchy."""
    path = f"/proc/{pid}/cgroup"
    text = kept.read(path) or ""
    kept.forget(path)
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = group
    return found


def group_of(kept: Kept, pid: int | None) -> str | None:
    """One name for the container of a process, the same for all of its processes; None when it is gone."""
    groups = {} if pid is None else groups_of(kept, pid)
    return groups.get("memory") or groups.get("") or None


def read_usage(kept: Kept, pid: int) -> Usage | None:
    """The usage of the container of this process; None when it is gone."""
    groups = groups_of(kept, pid)
    if not groups:
        return None
    if "memory" in groups:
        return _v1(kept, groups)
    return _v2(kept, ROOT + groups.get("", "/"))


def _v1(kept: Kept, groups: dict[str, str]) -> Usage:
    cpu = _number(kept, f"{ROOT}/cpuacct{groups.get('cpuacct', '/')}/cpuacct.usage")
    folder = f"{ROOT}/memory{groups['memory']}"
    used = _number(kept, f"{folder}/memory.usage_in_bytes")
    cache = _field(kept, f"{folder}/memory.stat", "total_inactive_file")
    processes = _number(kept, f"{ROOT}/pids{groups.get('pids', '/')}/pids.current")
    kills = _field(kept, f"{folder}/memory.oom_control", "oom_kill")
    return Usage(None if cpu is None else cpu / NANO, _less(used, cache), processes, kills)


def _v2(kept: Kept, folder: str) -> Usage:
    cpu = _field(kept, f"{folder}/cpu.stat", "usage_usec")
    used = _number(kept, f"{folder}/memory.current")
    cache = _field(kept, f"{folder}/memory.stat", "inactive_file")
    kills = _field(kept, f"{folder}/memory.events", "oom_kill")
    processes = _number(kept, f"{folder}/pids.current")
    return Usage(None if cpu is None else cpu / MICRO, _less(used, cache), processes, kills)


def _less(used: int | None, cache: int | None) -> int | None:
    return None if used is None else max(0, used - (cache or 0))


def _number(kept: Kept, path: str) -> int | None:
    text = (kept.read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _field(kept: Kept, path: str, name: str) -> int | None:
    for line in (kept.read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None
