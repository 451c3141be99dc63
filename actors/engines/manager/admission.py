"""Whether this machine may and can run an engine beside those that it runs. Pure; refuses with numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.engines.errors import RefusedError
from actors.engines.kinds.base import Kind, Machine
from actors.engines.kinds.table import check_features
from actors.engines.leases import choose
from actors.engines.policy import check_spec
from config.engines import EnginesSettings
from config.policy import PolicySettings
from protocol.messages.engine_spec import EngineSpec

LAST = "+last"
"""After an engine's name: the GPUs of its generation before, until that has ended."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Admission:
    """The machine, its policy and its kinds."""

    settings: EnginesSettings
    policy: PolicySettings
    kinds: Mapping[str, Kind]
    machine: Machine

    def check(self, name: str, spec: EngineSpec, others: Mapping[str, EngineSpec], *, draining: bool) -> None:
        """RefusedError, for what is not allowed, not possible, or too much beside the `others`."""
        check_spec(self.policy, spec)
        kind = self.kinds.get(spec.kind)
        if kind is None:
            known = f"known: {', '.join(sorted(self.kinds))}"
            raise RefusedError("E_SPEC", f"there is no engine kind {spec.kind}", known)
        check_features(kind, spec)
        new = name not in others
        beside = {other: theirs for other, theirs in others.items() if other != name}
        if draining and new:
            do = "take it back: mosalama-master agent drain AGENT --off"
            raise RefusedError("E_BUSY", "this agent is draining", "it takes no new engine", do)
        if new and len(beside) >= self.settings.engines_max:
            raise RefusedError("E_BUSY", f"{len(beside)} engines run here", "engines.engines_max", "stop one")
        self._check_port(spec, beside)
        self._check_shm(spec)
        self._check_memory(spec, beside)
        self._check_cpus(spec, beside)

    def _check_port(self, spec: EngineSpec, beside: Mapping[str, EngineSpec]) -> None:
        port, settings = spec.port, self.settings
        if port is None:
            return
        if not settings.port_min <= port <= settings.port_max:
            span = f"engines get ports {settings.port_min} to {settings.port_max} here"
            raise RefusedError("E_POLICY.net", f"port {port} is wanted", span, "take one of them, or leave it out")
        taken = [name for name, theirs in beside.items() if theirs.port == port]
        if taken:
            raise RefusedError("E_POLICY.net", f"port {port} is wanted", f"engine {taken[0]} has it", "leave it out")

    def _check_shm(self, spec: EngineSpec) -> None:
        """Shared memory is memory: it lies within the engine's limit, or is what is promised to one without a limit."""
        shm, limit = spec.shm_bytes or 0, spec.memory_bytes or self.settings.memory_default_bytes
        if limit and shm > limit:
            why = f"its memory limit is {_mib(limit)}, and shared memory lies within it"
            do = f"at most {_mib(limit)} would fit; ask for less, or for more memory_bytes"
            raise RefusedError("E_BUSY", f"{_mib(shm)} of shared memory are wanted", why, do)

    def _check_memory(self, spec: EngineSpec, beside: Mapping[str, EngineSpec]) -> None:
        total = self.machine.memory_bytes
        asked = self.memory_of(spec)
        if not total or not asked:
            return
        if asked > total:
            why = f"this machine has {_mib(total)}"
            raise RefusedError("E_BUSY", f"{_mib(asked)} of memory are wanted", why, "ask for less")
        used = sum(self.memory_of(theirs) for theirs in beside.values())
        if used + asked > total:
            why = f"{_mib(used)} of {_mib(total)} are promised to {', '.join(sorted(beside))}"
            do = f"at most {_mib(total - used)} would fit; ask for less, or stop one of them"
            raise RefusedError("E_BUSY", f"{_mib(asked)} of memory are wanted", why, do)

    def _check_cpus(self, spec: EngineSpec, beside: Mapping[str, EngineSpec]) -> None:
        total, asked = self.machine.cpus, spec.cpus or 0.0
        used = sum(theirs.cpus or 0.0 for theirs in beside.values())
        if not total or not asked or used + asked <= total:
            return
        why = f"this machine has {total:g}, and {used:g} are promised to other engines"
        do = f"at most {max(0.0, total - used):g} would fit; ask for less, or leave it out"
        raise RefusedError("E_BUSY", f"{asked:g} CPUs are wanted", why, do)

    def memory_of(self, spec: EngineSpec) -> int:
        """What is promised to it, in bytes; of one without a limit only its shared memory is known."""
        return spec.memory_bytes or self.settings.memory_default_bytes or spec.shm_bytes or 0

    def crowded(self, name: str, spec: EngineSpec, others: Mapping[str, EngineSpec]) -> str:
        """Why two generations of this engine cannot be here at a time; empty when they can."""
        total, cpus = self.machine.memory_bytes, self.machine.cpus
        both = sum(self.memory_of(theirs) for theirs in others.values()) + self.memory_of(spec)
        if total and both > total:
            return (
                f"both generations need {_mib(both)} of memory with the other engines; this machine has {_mib(total)}"
            )
        wanted = sum(theirs.cpus or 0.0 for theirs in others.values()) + (spec.cpus or 0.0)
        if cpus and spec.cpus and wanted > cpus:
            return f"both generations of {name} need {wanted:g} CPUs with the other engines; this machine has {cpus:g}"
        return ""

    def gpus(self, name: str, spec: EngineSpec, taken: Mapping[str, Sequence[str]], *, update: bool) -> tuple[str, ...]:
        """The GPUs of an engine; for a new generation others than the old one has, where there are enough."""
        if update and spec.gpus.wanted and spec.update != "stop_start" and not spec.gpus.uuids:
            before = (*taken.get(name, ()), *taken.get(f"{name}{LAST}", ()))
            held = {other: uuids for other, uuids in taken.items() if other != name} | {f"{name}{LAST}": before}
            try:
                return choose(self.machine.gpus, held, name, spec.gpus)
            except RefusedError:
                pass  # not enough for both: the new one gets what the old one has
        return choose(self.machine.gpus, taken, name, spec.gpus)


def _mib(count: int) -> str:
    return f"{count / MIB:,.0f} MiB"
