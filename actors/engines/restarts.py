"""When a dead engine is started again. Pure: the history and the time are arguments.

At once, then with doubling delays; after too many deaths in the window it is given up loudly, with the time of the next
try. Only healthy service clears the history, and the history is on disk: a restart of the daemon does not reset it.
"""

import json
from dataclasses import dataclass, replace

from protocol.messages.engine_spec import RestartPolicy

from .failures import Cause, Remedy

HEALTHY_S = 120.0
"""Serving for this long makes earlier deaths forgotten."""
EXPONENT_MAX = 16


@dataclass(frozen=True, slots=True)
class History:
    """Times of the deaths that count, seconds since the epoch, oldest first."""

    deaths: tuple[float, ...] = ()

    def encode(self) -> bytes:
        """For the journal."""
        return json.dumps(list(self.deaths)).encode()

    @classmethod
    def decode(cls, raw: bytes | None) -> "History":
        """From the journal."""
        return cls(tuple(float(at) for at in json.loads(raw))) if raw else cls()


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_s` until the next try; `gave_up` when that try is a long way off."""

    delay_s: float
    gave_up: bool
    history: History


def decide(policy: RestartPolicy, history: History, cause: Cause, now: float, *, patient: bool = False) -> Decision:
    """What follows a death of this cause.

    `patient`: the same may run all the same, since it served before, or since its safe mode asks for less: what else
    only a change of its spec mends is tried again within the budget.
    """
    # A clock that was set back would make them later than now; they count as of now, or they would count for ever.
    recent = tuple(min(at, now) for at in history.deaths if now - at <= policy.within_s)
    grown = replace(history, deaths=(*recent, now))
    hopeless = cause.remedy is Remedy.NEVER or (cause.remedy is Remedy.CHANGE and not patient)
    if hopeless or len(grown.deaths) > policy.attempts:
        return Decision(policy.retry_after_giving_up_s, gave_up=True, history=grown)
    step = len(grown.deaths) - 2
    delay = 0.0 if step < 0 else min(policy.backoff_max_s, policy.backoff_min_s * 2.0 ** min(step, EXPONENT_MAX))
    return Decision(delay, gave_up=False, history=grown)
