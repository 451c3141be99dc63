"""What was tried: deaths that count, one line for each, and a black box with first and last words of the last few."""

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from actors.engines.failures import CAUSES, Cause, last_words
from actors.engines.restarts import Decision, History, decide
from protocol.messages.engine_spec import EngineSpec, RestartPolicy

from .memory import Memory
from .steps import Autopsy

ATTEMPTS_KEPT = 10
BOXES_KEPT = 5
BOX_LINES = 40
SAFE_AFTER = 2
"""So many deaths for want of memory, and the next start is a modest one."""
SAFE_STEPS = 3
"""So often less and less is tried."""
SAFE_SHARE = 0.85
"""Of the fraction before, with each step; the context is halved."""
SAFE_CONTEXT = 512
"""Tokens; a shorter context than this is not made for want of memory."""
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

    def box(self) -> dict[str, Any]:
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

    def __init__(self, memory: Memory, history: History, boxes: tuple[dict[str, Any], ...]) -> None:
        self._memory, self._history, self._boxes = memory, history, boxes
        self._lines = tuple((box["at"], f"{box['what']}: {box['why']}") for box in boxes)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was tried, oldest first, one line each."""
        return tuple(line for _, line in self._lines)

    @property
    def any(self) -> bool:
        """Whether deaths count against the next one."""
        return bool(self._history.deaths)

    def forget(self) -> None:
        """It served, or something new is wanted: a death begins the count anew."""
        self._history = History()
        self._memory.remember_history(self._history)

    def at_once(self, policy: RestartPolicy, now: float) -> bool:
        """Whether one that served is started again without a wait if it dies now, whatever killed it."""
        decision = decide(policy, self._history, CAUSES["crashed"], now)
        return not decision.gave_up and decision.delay_s == 0

    def died(self, death: Death, policy: RestartPolicy, *, served: bool) -> Decision:
        """Count it, keep its words, and say what follows."""
        patient = served or (policy.safe_mode and death.cause.name in FOR_MEMORY)
        decision = decide(policy, self._history, death.cause, death.at, patient=patient)
        self._history = decision.history
        self._memory.remember_history(self._history)
        self.note(death)
        return decision

    def note(self, death: Death) -> None:
        """Keep its words; it does not count."""
        self._lines = (*self._lines, (death.at, death.text))[-ATTEMPTS_KEPT:]
        self._boxes = (*self._boxes, death.box())[-BOXES_KEPT:]
        self._memory.remember_boxes(json.dumps(self._boxes).encode())

    def complete(self, death: Death) -> None:
        """More is known of a death that was noted: its cause and its words."""
        self._lines = tuple((at, death.text if at == death.at else line) for at, line in self._lines)
        self._boxes = tuple(death.box() if box["at"] == death.at else box for box in self._boxes)
        self._memory.remember_boxes(json.dumps(self._boxes).encode())

    def correct_latest(self, told: str, cause: Cause) -> bool:
        """The latest death, of which `told` was said, had another cause; False when something else was said."""
        if not self._boxes or self._boxes[-1]["cause"] != told:
            return False
        latest = {**self._boxes[-1], "cause": cause.name, "why": cause.why, "do": cause.do}
        self._boxes = (*self._boxes[:-1], latest)
        self._lines = (*self._lines[:-1], (latest["at"], f"{latest['what']}: {cause.why}; {cause.do}"))
        self._memory.remember_boxes(json.dumps(self._boxes).encode())
        return True

    def modest(self, spec: EngineSpec, *, by_fraction: bool) -> EngineSpec | None:
        """The spec with less memory and a shorter context, when memory was what killed it and its spec allows that.

        `by_fraction`: its kind can be told which part of the GPU's memory it may take. Each further death for want of
        memory takes more away, three times at most. None: nothing is to be taken.
        """
        for_memory = list(takewhile(FOR_MEMORY.__contains__, (str(box["cause"]) for box in reversed(self._boxes))))
        step = min(len(for_memory), len(self._history.deaths)) - SAFE_AFTER + 1
        if not spec.restart.safe_mode or step < 1:
            return None
        step = min(step, SAFE_STEPS)
        gpus, length = spec.gpus, spec.context_length
        if gpus.wanted and by_fraction:
            fraction = (gpus.memory_fraction or SAFE_FRACTION) * SAFE_SHARE**step
            gpus = gpus.model_copy(update={"memory_fraction": round(fraction, 3)})
        shorter = None if length is None else max(min(length, SAFE_CONTEXT), length >> step)
        smaller = spec.model_copy(update={"gpus": gpus, "context_length": shorter})
        return None if smaller == spec else smaller


def less(spec: EngineSpec, smaller: EngineSpec) -> str:
    """What safe mode takes away, in words."""
    parts = []
    if smaller.gpus.memory_fraction != spec.gpus.memory_fraction:
        before = "" if spec.gpus.memory_fraction is None else f" instead of {spec.gpus.memory_fraction:g}"
        parts.append(f"{smaller.gpus.memory_fraction:g} of the GPU's memory{before}")
    if smaller.context_length != spec.context_length:
        parts.append(f"a context of {smaller.context_length} instead of {spec.context_length}")
    return ", ".join(parts)


def boxes_of(raw: bytes | None) -> tuple[dict[str, Any], ...]:
    """The black box as the journal has it."""
    return tuple(json.loads(raw)) if raw else ()
