"""What a look at an engine's health means, given those before it. Pure: time is an argument."""

from dataclasses import dataclass, replace
from enum import StrEnum

from actors.engines.failures import CAUSES, Cause
from actors.engines.probe import Health
from protocol.messages.engine_spec import Probes

LOADING_PROBE_S = (0.1, 2.0)
"""First and longest wait between two looks at an engine that loads."""
SLOWER = 1.3


class Verdict(StrEnum):
    """What a look showed."""

    WAIT = "wait"
    READY = "ready"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it has loaded, and how often in a row it was not healthy. Times are monotonic seconds."""

    loading_since: float
    wait_s: float = LOADING_PROBE_S[0]
    fails: int = 0
    cause: Cause | None = None
    words: str = ""

    def loading(self, health: Health, probes: Probes, now: float) -> "tuple[Verdict, Patience]":
        """A look at an engine that loads."""
        if health is Health.READY:
            return Verdict.READY, replace(self, wait_s=probes.interval_s)
        if now - self.loading_since > probes.start_timeout_s:
            words = f"not ready within {probes.start_timeout_s:g} s"
            return Verdict.DEAD, replace(self, cause=CAUSES["start_timeout"], words=words)
        return Verdict.WAIT, replace(self, wait_s=min(LOADING_PROBE_S[1], self.wait_s * SLOWER))

    def serving(self, health: Health, probes: Probes) -> "tuple[Verdict, Patience]":
        """A look at an engine that served before."""
        fails = 0 if health is Health.READY else self.fails + 1
        if fails >= probes.failures:
            words = f"its health was {health} {fails} times in a row"
            return Verdict.DEAD, replace(self, cause=CAUSES["not_healthy"], words=words)
        return Verdict.READY, replace(self, fails=fails, wait_s=probes.interval_s)
