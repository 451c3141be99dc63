"""The GPUs' part of the snapshot: figures as the watch has them, programs by the engine whose container they are in."""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.facts import EngineFacts

from .cgroup import Groups
from .gpu_queries import Figures
from .gpu_watch import GpuLook

FOREIGN = "-"
"""Stands for every program on a GPU that is in no engine's container."""
Programs = tuple[tuple[int, int | None], ...]
"""Process id and bytes, None where the driver does not say."""
Sizes = dict[str, int | None]
"""Engine -> bytes on one GPU."""


class GpusLook:
    """Maps processes to engines; the thread that looks calls it."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._asked: tuple[object, object] = (None, None)
        """The programs and engines that the answers are for."""
        self._sizes: dict[str, Sizes] = {}

    def name_programs(self, gpus: Mapping[str, Figures], engines: Sequence[EngineFacts]) -> None:
        """Put the engines' names in the place of processes; the figures are a look's own, and changed in place."""
        programs: dict[str, Programs] = {}
        for uuid, figures in gpus.items():
            known = figures.get("processes")
            if known is not None:
                programs[uuid] = known
        if self._asked != (programs, engines):
            owners = self._owners(engines) if any(programs.values()) else {}
            self._asked = (programs, engines)
            self._sizes = {uuid: _by_engine(found, owners) for uuid, found in programs.items()}
        for uuid, found in programs.items():
            figures = gpus[uuid]
            figures["processes"], figures["memory_by_engine"] = len(found), self._sizes[uuid]

    def _owners(self, engines: Sequence[EngineFacts]) -> dict[int, str]:
        """Process -> engine: asked again only when the programs or the engines are others."""
        keys = {(engine.container_id or "", engine.pid) for engine in engines}
        self._groups.keep_only(keys)
        return {
            pid: engine.name for engine in engines for pid in self._groups.processes(engine.container_id, engine.pid)
        }


def rooms(look: GpuLook) -> Mapping[str, Mapping[str, Any]]:
    """`gpus` and `drivers` of the snapshot."""
    return {"drivers": {} if look.driver is None else {"gpu": look.driver}, "gpus": look.gpus}


def _by_engine(programs: Programs, owners: Mapping[int, str]) -> Sizes:
    sizes: Sizes = {}
    for pid, size in programs:
        name = owners.get(pid, FOREIGN)
        before = sizes.get(name, 0)
        sizes[name] = None if size is None or before is None else before + size
    return sizes
