"""What an engine's actor knows again after a crash: what is wanted, what went wrong before, and which version was good.

The journal is the memory; the values that the actor was made with may be older than what was commanded since.
"""

from dataclasses import dataclass, replace

from actors.engines.leases import GPUS_KEY
from actors.engines.leases import decode as decode_gpus
from actors.engines.messages import Wanted
from actors.engines.restarts import History
from actors.journal import messages as journal
from actors.supervision.errors import Ignore
from actors.supervision.handle import Handle
from protocol.codec import decode, encode
from protocol.messages.engine_spec import EngineSpec

JOURNAL_S = 10.0


@dataclass(frozen=True, slots=True)
class Recalled:
    """`wanted` is what shall run; `bad` is the generation that did not run and for which the good one stands in."""

    wanted: Wanted
    history: History
    good: Wanted | None
    bad: int | None


class Memory:
    """The journal's rows of one engine."""

    def __init__(self, journal_handle: Handle, name: str) -> None:
        self._journal, self._name = journal_handle, name

    def recall(self, given: Wanted) -> Recalled:
        """Everything, for an actor that begins.

        Raises:
            Ignore: the engine is not wanted any more.
            SupervisionError: the journal does not answer.

        """
        wanted = self._wanted(given)
        good, bad = self._good(wanted), self._number("bad")
        if bad != wanted.generation:
            bad = None
        elif good is not None:
            wanted = replace(good, generation=wanted.generation, command_id="")
        return Recalled(wanted, History.decode(self._get("budget")), good, bad)

    def remember_history(self, history: History) -> None:
        """The deaths that count."""
        self._put("budget", history.encode())

    def remember_good(self, good: Wanted) -> None:
        """This one ran."""
        self._put("good", encode([good.generation, good.spec.model_dump(mode="python")]))

    def remember_bad(self, generation: int) -> None:
        """This one did not run, and the good one stands in for it."""
        self._put("bad", str(generation).encode())

    def forget(self) -> None:
        """The engine was stopped: what comes under its name later is another one."""
        for key in ("budget", "good", "bad"):
            self._put(key, b"")

    def _wanted(self, given: Wanted) -> Wanted:
        state = self._journal.call(journal.LoadDesired(), timeout_s=JOURNAL_S)
        assert isinstance(state, journal.DesiredState)
        for desired in state.engines:
            if desired.name == self._name and desired.generation > given.generation:
                gpus = self._journal.call(journal.GetState(f"{GPUS_KEY}{self._name}"), timeout_s=JOURNAL_S)
                leased = decode_gpus(gpus if isinstance(gpus, bytes) else None)
                spec = EngineSpec.model_validate(decode(desired.spec))
                return Wanted(self._name, desired.generation, spec, "", leased)
            if desired.name == self._name:
                return given
        if state.generations.get(self._name, -1) > given.generation:
            raise Ignore(f"{self._name} is not wanted any more")
        return given

    def _good(self, wanted: Wanted) -> Wanted | None:
        raw = self._get("good")
        if not raw:
            return None
        content = decode(raw)
        assert isinstance(content, tuple)
        generation, spec = content
        return replace(wanted, generation=generation, spec=EngineSpec.model_validate(spec), command_id="")

    def _number(self, key: str) -> int | None:
        raw = self._get(key)
        return int(raw) if raw else None

    def _get(self, key: str) -> bytes | None:
        raw = self._journal.call(journal.GetState(f"engine.{key}.{self._name}"), timeout_s=JOURNAL_S)
        return raw if isinstance(raw, bytes) else None

    def _put(self, key: str, value: bytes) -> None:
        self._journal.tell(journal.PutState(f"engine.{key}.{self._name}", value))
