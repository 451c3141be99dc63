"""Who has which GPU. Pure: all or nothing, by UUID, never two engines on one."""

import json
from collections.abc import Mapping, Sequence

from protocol.messages.engine_spec import Gpus

from .errors import RefusedError


def choose(machine: Sequence[str], taken: Mapping[str, Sequence[str]], engine: str, wanted: Gpus) -> tuple[str, ...]:
    """The GPUs of this engine; those that it has already are taken first, so that a new generation stays where it is.

    Raises:
        RefusedError: with numbers, when there are not enough or a named one is not free.

    """
    others = {uuid: name for name, uuids in taken.items() if name != engine for uuid in uuids}
    for uuid in wanted.uuids:
        if uuid not in machine:
            raise _refused(f"GPU {uuid} is wanted", "this machine does not have it", "take another")
        if uuid in others:
            raise _refused(
                f"GPU {uuid} is wanted", f"engine {others[uuid]} has it", f"stop {others[uuid]}, or take another"
            )
    if wanted.uuids:
        return tuple(wanted.uuids)
    if wanted.count > len(machine):
        raise _refused(f"{wanted.count} GPUs are wanted", f"this machine has {len(machine)}", "ask for fewer")
    free = [uuid for uuid in machine if uuid not in others]
    if wanted.count > len(free):
        who = ", ".join(sorted(set(others.values())))
        raise _refused(
            f"{wanted.count} GPUs are wanted", f"{len(free)} of {len(machine)} are free", f"stop one of: {who}"
        )
    own = [uuid for uuid in taken.get(engine, ()) if uuid in free]
    return tuple([*own, *(uuid for uuid in free if uuid not in own)][: wanted.count])


GPUS_KEY = "engine.gpus."
"""Of the journal: the lease of one engine."""


def encode(uuids: Sequence[str]) -> bytes:
    """For the journal."""
    return json.dumps(list(uuids)).encode()


def decode(raw: bytes | None) -> tuple[str, ...]:
    """From the journal."""
    return tuple(str(uuid) for uuid in json.loads(raw)) if raw else ()


def _refused(what: str, why: str, do: str) -> RefusedError:
    return RefusedError("E_POLICY.device", what, why, do)
