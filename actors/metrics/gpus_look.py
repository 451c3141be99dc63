"""The GPUs' part of the snapshot: figures as the watch has them, programs by the engine whose container they are in."""

from collections.abc import Mapping, Sequence
from typing import Any

from actors.facts import EngineFacts

from .cgroup import Groups
from .gpu_queries import Figures
from .gpu_watch import GpuLook

FOREIGN = "-"
"""Stands for every program on a GPU that is in no engine's container."""


class GpusLook:
    """Maps processes to engines; the threads that look and that hear events call it."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._mapped: tuple[object, dict[int, str]] = (None, {})

    def rooms(self, look: GpuLook, engines: Sequence[EngineFacts]) -> Mapping[str, Mapping[str, Any]]:
        """`gpus` and `drivers` of the snapshot; the look is taken, and its figures are changed in place."""
        programs = tuple(figures.get("processes") for figures in look.gpus.values())
        if any(programs) and self._mapped[0] != (programs, engines):
            self._mapped = ((programs, engines), self._owners(engines))
        owners = self._mapped[1]
        return {
            "drivers": {} if look.driver is None else {"gpu": look.driver},
            "gpus": {uuid: _by_engine(figures, owners) for uuid, figures in look.gpus.items()},
        }

    def _owners(self, engines: Sequence[EngineFacts]) -> dict[int, str]:
        """Process -> engine: asked again only when the programs or the engines are others."""
        keys = {(engine.container_id or "", engine.pid) for engine in engines}
        self._groups.keep_only(keys)
        return {
            pid: engine.name for engine in engines for pid in self._groups.processes(engine.container_id, engine.pid)
        }


def _by_engine(figures: Figures, owners: Mapping[int, str]) -> Figures:
    """The very figures, which are this look's own, with programs counted and summed."""
    programs = figures.pop("processes", None)
    if programs is None:
        return figures
    sizes: dict[str, int | None] = {}
    for pid, size in programs:
        name = owners.get(pid, FOREIGN)
        before = sizes.get(name, 0)
        sizes[name] = None if size is None or before is None else before + size
    figures["processes"], figures["memory_by_engine"] = len(programs), sizes
    return figures
