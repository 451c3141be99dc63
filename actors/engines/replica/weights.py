"""An engine's model and its adapters in the store: one lease each, that of adapter N under `HOLDER+loraN`."""

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from actors.engines.errors import RefusedError
from actors.engines.kinds.base import Adapter, ModelFiles
from actors.engines.models_api import Models
from actors.engines.request import Mount
from actors.facts import LocalModel
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Weights:
    """Versions on this machine: the model's, and with its name each adapter's."""

    model: LocalModel
    adapters: tuple[tuple[str, LocalModel], ...] = ()

    @property
    def size_bytes(self) -> int:
        """What is to be loaded."""
        return self.model.size_bytes + sum(version.size_bytes for _, version in self.adapters)

    def files(self) -> ModelFiles:
        """What a kind is told of them."""
        adapters = tuple(Adapter(name, version.files, _rank(version)) for name, version in self.adapters)
        return ModelFiles(self.model.directory, self.model.files, self.size_bytes, adapters)

    def mounts(self, model_target: str) -> tuple[Mount, ...]:
        """Read-only, each at its place."""
        adapters = (Mount(version.directory, Adapter(name, ()).target) for name, version in self.adapters)
        return (Mount(self.model.directory, model_target), *adapters)


def lease(models: Models, spec: EngineSpec, holder: str) -> Weights:
    """All that the spec names; RefusedError names what is not on this machine."""
    model = _need(models, spec.model, holder, "model")
    adapters = tuple(
        (one.name, _need(models, one.source, _part(holder, number), f"adapter {one.name}:"))
        for number, one in enumerate(spec.loras)
    )
    _release_parts(models, holder, len(adapters))  # of a spec with more of them
    return Weights(model, adapters)


def keep(models: Models, spec: EngineSpec, holder: str) -> int:
    """Go on with what the holder has, and take what it lacks; how much there is to load, in bytes."""
    found = [models.keep(spec.model, holder)]
    found += [models.keep(one.source, _part(holder, number)) for number, one in enumerate(spec.loras)]
    return sum(version.size_bytes for version in found if version is not None)


def move(models: Models, holder: str, to: str) -> None:
    """What one holder has, another has from now on."""
    models.move(holder, to)
    moved = next(number for number in count() if not models.move(_part(holder, number), _part(to, number)))
    _release_parts(models, to, moved)  # what it had before


def release(models: Models, holder: str) -> None:
    """The holder needs nothing of it any more."""
    models.release(holder)
    _release_parts(models, holder, 0)


def _need(models: Models, source: ModelSource, holder: str, what: str) -> LocalModel:
    found = models.lease(source, holder)
    if found is None:
        do = f"pull it first: mosalama-master model pull AGENT {source.uri}"
        raise RefusedError("E_MODEL", f"{what} {source.uri} is not on this machine", "", do)
    return found


def _part(holder: str, number: int) -> str:
    return f"{holder}+lora{number}"


def _release_parts(models: Models, holder: str, first: int) -> None:
    """Those from this number on; they are numbered without a gap."""
    for number in count(first):
        if not models.release(_part(holder, number)):
            return


def _rank(version: LocalModel) -> int | None:
    """What the adapter says of itself; None where it says nothing that can be read."""
    try:
        said = json.loads((Path(version.directory) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        return int(said["r"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
