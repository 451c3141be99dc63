"""What an engine's actor knows again after a crash: what is wanted, what went wrong before, and which version was good.

The journal is the memory; the values that the actor was made with may be older than what was commanded since.
"""

import hashlib
import json
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
BAD_KEPT = 10


def version_of(spec: EngineSpec) -> str:
    """Names what would run: the spec without how it is watched and brought."""
    content = spec.model_dump(mode="json", exclude={"probes", "restart", "update"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Recalled:
    """`wanted` is what shall run now; `bad` is the generation that did not run and for which the good one stands in.

    `beside` is the generation that was being brought up beside `wanted` when the one before ended.
    """

    wanted: Wanted
    history: History
    good: Wanted | None
    bad: int | None
    beside: Wanted | None
    boxes: bytes | None


class Memory:
    """The journal's rows of one engine."""

    def __init__(self, journal_handle: Handle, name: str) -> None:
        self._journal, self._name = journal_handle, name
        self.bad_versions: tuple[tuple[str, str], ...] = ()
        """Versions that did not run here, and why."""

    def recall(self, given: Wanted) -> Recalled:
        """Everything, for an actor that begins.

        Raises:
            Ignore: the engine is not wanted any more.
            SupervisionError: the journal does not answer.

        """
        wanted = self._wanted(given)
        versions = self._get("badversions")
        self.bad_versions = tuple((str(one), str(why)) for one, why in json.loads(versions)) if versions else ()
        good, bad, next_one = self._good(wanted), self._number("bad"), self._number("beside")
        beside = None
        if bad != wanted.generation:
            bad = None
        elif good is not None:
            wanted = good
        if bad is None and good is not None and next_one == wanted.generation != good.generation:
            beside, wanted = wanted, good
        return Recalled(wanted, History.decode(self._get("budget")), good, bad, beside, self._get("box") or None)

    def remember_history(self, history: History) -> None:
        """The deaths that count."""
        self._put("budget", history.encode())

    def remember_boxes(self, boxes: bytes) -> None:
        """First and last words of the last few that died."""
        self._put("box", boxes)

    def remember_good(self, good: Wanted) -> None:
        """This one ran."""
        self._put("good", encode([good.generation, good.spec.model_dump(mode="python"), list(good.gpus)]))

    def remember_beside(self, generation: int | None) -> None:
        """This one is being brought up beside the good one; None: it has an end."""
        self._put("beside", b"" if generation is None else str(generation).encode())

    def remember_bad(self, wanted: Wanted, why: str) -> None:
        """This one did not run, and the good one stands in for it; its version is remembered."""
        self._put("bad", str(wanted.generation).encode())
        version = version_of(wanted.spec)
        known = [entry for entry in self.bad_versions if entry[0] != version]
        self.bad_versions = (*known, (version, why[:500]))[-BAD_KEPT:]
        self._put("badversions", json.dumps(self.bad_versions).encode())

    def forget(self) -> None:
        """The engine was stopped: what comes under its name later is another one."""
        self.bad_versions = ()
        for key in ("budget", "good", "bad", "beside", "badversions"):
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
        generation, spec, *gpus = content
        leased = tuple(gpus[0]) if gpus else wanted.gpus
        return replace(wanted, generation=generation, spec=EngineSpec.model_validate(spec), command_id="", gpus=leased)

    def _number(self, key: str) -> int | None:
        raw = self._get(key)
        return int(raw) if raw else None

    def _get(self, key: str) -> bytes | None:
        raw = self._journal.call(journal.GetState(f"engine.{key}.{self._name}"), timeout_s=JOURNAL_S)
        return raw if isinstance(raw, bytes) else None

    def _put(self, key: str, value: bytes) -> None:
        self._journal.tell(journal.PutState(f"engine.{key}.{self._name}", value))
