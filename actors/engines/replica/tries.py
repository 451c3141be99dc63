"""What was tried: deaths that count, one line for each, and a black box with first and last words of the last few."""

import json
from dataclasses import dataclass

from actors.engines.failures import Cause, last_words
from actors.engines.restarts import Decision, History, decide
from protocol.messages.engine_spec import EngineSpec, RestartPolicy

from .memory import Memory
from .steps import Autopsy

ATTEMPTS_KEPT = 10
BOXES_KEPT = 5
BOX_LINES = 40
SAFE_AFTER = 2
"""So many deaths for want of memory, and the next start is a modest one."""
SAFE_SHARE = 0.85
SAFE_FRACTION = 0.9
"""Of the GPU's memory, when the spec names none: what engines take by themselves."""
FOR_MEMORY = frozenset({"gpu_out_of_memory", "kv_cache_too_small", "gpu_memory_taken", "host_out_of_memory"})


@dataclass(frozen=True, slots=True)
class Death:
    """One end of a container that was not asked for."""

    at: float
    """Seconds since the epoch."""
    cause: Cause
    words: str
    autopsy: Autopsy | None = None

    @property
    def over(self) -> bool:
        """Whether the container has certainly ended."""
        return self.autopsy is not None and not self.autopsy.running and not self.autopsy.removed

    @property
    def text(self) -> str:
        """One line for people."""
        return last_words(self.words, self.cause, self.autopsy.log if self.autopsy else ())

    def box(self) -> dict[str, object]:
        """For the black box."""
        first, last = (self.autopsy.first, self.autopsy.log) if self.autopsy else ((), ())
        return {
            "at": self.at,
            "cause": self.cause.name,
            "what": self.words,
            "why": self.cause.why,
            "do": self.cause.do,
            "first": list(first[:BOX_LINES]),
            "last": list(last[-BOX_LINES:]),
        }


class Tries:
    """Of one engine; what counts is on disk."""

    def __init__(self, memory: Memory, history: History, boxes: tuple[dict[str, object], ...]) -> None:
        self._memory, self._history, self._boxes = memory, history, boxes
        self.lines = tuple(f"{box['what']}: {box['why']}" for box in boxes)
        """What was tried, oldest first, one line each."""

    @property
    def any(self) -> bool:
        """Whether deaths count against the next one."""
        return bool(self._history.deaths)

    def forget(self) -> None:
        """It served, or something new is wanted: a death begins the count anew."""
        self._history = History()
        self._memory.remember_history(self._history)

    def died(self, death: Death, policy: RestartPolicy) -> Decision:
        """Count it, keep its words, and say what follows."""
        decision = decide(policy, self._history, death.cause, death.at)
        self._history = decision.history
        self._memory.remember_history(self._history)
        self.note(death)
        return decision

    def note(self, death: Death) -> None:
        """Keep its words; it does not count."""
        self.lines = (*self.lines, death.text)[-ATTEMPTS_KEPT:]
        self._boxes = (*self._boxes, death.box())[-BOXES_KEPT:]
        self._memory.remember_boxes(json.dumps(self._boxes).encode())

    def correct(self, cause: Cause) -> None:
        """The latest death had another cause than was thought."""
        if not self._boxes:
            return
        latest = {**self._boxes[-1], "cause": cause.name, "why": cause.why, "do": cause.do}
        self._boxes = (*self._boxes[:-1], latest)
        self.lines = (*self.lines[:-1], f"{latest['what']}: {cause.why}; {cause.do}")
        self._memory.remember_boxes(json.dumps(self._boxes).encode())

    def modest(self, spec: EngineSpec) -> EngineSpec | None:
        """The spec with less memory and a shorter context, when memory was what killed it and its spec allows that."""
        named = [str(box["cause"]) for box in self._boxes[-SAFE_AFTER:]]
        enough = len(self._history.deaths) >= SAFE_AFTER and len(named) == SAFE_AFTER
        if not spec.restart.safe_mode or not enough or not FOR_MEMORY.issuperset(named):
            return None
        length = spec.context_length
        gpus = spec.gpus
        if gpus.wanted:
            gpus = gpus.model_copy(update={"memory_fraction": (gpus.memory_fraction or SAFE_FRACTION) * SAFE_SHARE})
        shorter = None if length is None else max(16, length // 2)
        return spec.model_copy(update={"gpus": gpus, "context_length": shorter})


def boxes_of(raw: bytes | None) -> tuple[dict[str, object], ...]:
    """The black box as the journal has it."""
    return tuple(json.loads(raw)) if raw else ()
