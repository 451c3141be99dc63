"""Who has which GPU, on disk before anything is created with it, and freed when its memory is."""

from collections.abc import Mapping
from dataclasses import replace

from actors.engines.leases import GPUS_KEY, decode, encode
from actors.journal import messages as journal
from actors.supervision.handle import Handle
from protocol.messages.engine_spec import EngineSpec

from .admission import LAST, Admission
from .vram import Leaving, Used, baseline_of, settle

JOURNAL_S = 10.0


class GpuBook:
    """The manager's book of GPUs; `used` says how much memory of each is used now, when somebody knows."""

    def __init__(self, journal_handle: Handle, admission: Admission, used: Used) -> None:
        self._journal, self._admission, self._used = journal_handle, admission, used
        self._held: dict[str, tuple[str, ...]] = {}
        self._leaving: dict[str, Leaving] = {}
        self._baseline: Mapping[str, int] = {}

    def load(self, name: str) -> tuple[str, ...]:
        """What the journal says of an engine, and of its generation before."""
        for holder in (f"{name}{LAST}", name):
            raw = self._journal.call(journal.GetState(f"{GPUS_KEY}{holder}"), timeout_s=JOURNAL_S)
            uuids = decode(raw if isinstance(raw, bytes) else None)
            if uuids or holder == name:
                self._held[holder] = uuids
        return self._held[name]

    def lease(self, name: str, spec: EngineSpec, *, update: bool) -> tuple[str, ...]:
        """All or none; those of the generation before are kept until that has ended.

        Raises:
            RefusedError: with numbers, when there are not enough.

        """
        taken = [uuid for uuids in self._held.values() for uuid in uuids]
        self._baseline = baseline_of(self._baseline, self._used(), taken)
        self._leaving.pop(name, None)  # its own leftovers do not keep it from its own GPUs
        chosen = self._admission.gpus(name, spec, self._held, update=update)
        # One that was never reached counts, too: who knows how far it has come.
        before = (*self._held.get(f"{name}{LAST}", ()), *self._held.get(name, ()))
        left = tuple(dict.fromkeys(uuid for uuid in before if uuid not in chosen))
        if update and left:
            self._leaving.pop(f"{name}{LAST}", None)
            self._keep(f"{name}{LAST}", left)
        self._keep(name, chosen)
        return chosen

    def _keep(self, holder: str, uuids: tuple[str, ...]) -> None:
        self._held[holder] = uuids
        self._journal.tell(journal.PutState(f"{GPUS_KEY}{holder}", encode(uuids)))

    def settled(self, name: str, uuids: tuple[str, ...], now: float) -> None:
        """Only one generation is left, with these: what the other one had is given back."""
        if f"{name}{LAST}" in self._held:
            self.free(f"{name}{LAST}", now, but=uuids)
        if name in self._held and self._held[name] != uuids:
            self._keep(name, uuids)

    def gone(self, name: str, now: float) -> None:
        """The engine has ended."""
        for holder in (name, f"{name}{LAST}"):
            if holder in self._held:
                self.free(holder, now)

    def free(self, holder: str, now: float, but: tuple[str, ...] = ()) -> None:
        """They are free once their memory is."""
        uuids = tuple(uuid for uuid in self._held.get(holder, ()) if uuid not in but)
        self._leaving[holder] = Leaving(holder, uuids, now)
        self.settle(now)

    def settle(self, now: float) -> bool:
        """Look at the memory of every GPU that was given back; whether some is still not free."""
        used = self._used()
        for holder, leaving in tuple(self._leaving.items()):
            held, tell = settle(leaving, used, self._baseline, now)
            if tell:
                text = f"GPU {', '.join(held)}: its memory is not free though its engine has ended; it stays aside"
                self._journal.tell(journal.Emit("gpu.memory_held", "error", f"engine/{holder}", text))
                self._leaving[holder] = replace(leaving, told=True)
            if held:
                self._held[holder] = held
                continue
            del self._leaving[holder]
            self._held.pop(holder, None)
            self._journal.tell(journal.PutState(f"{GPUS_KEY}{holder}", b""))
        return bool(self._leaving)
