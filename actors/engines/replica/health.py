"""What a look at an engine means, given those before it. Pure: time is an argument.

Three probes, kept apart: the start (patient for as long as something moves), the health page, and its tokens.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from actors.engines.containers_api import Movement
from actors.engines.failures import CAUSES, Cause
from actors.engines.figures import Figures
from actors.engines.functional import Ask, Pulse, Rules
from actors.engines.probe import Health
from protocol.messages.engine_spec import Probes

LOADING_PROBE_S = (0.02, 2.0)
"""First and longest wait between two looks at an engine that loads."""
SLOWER = 1.1
"""A look comes at most a tenth of the time so far too late; some fifty looks before they are two seconds apart."""
BUSY_PROBE_S = 0.1
"""Until a look that something else stood in the way of."""
SLOWEST_LOAD_BYTES_S = 20 << 20
"""A model is given at least the time that it needs at this rate, from a slow disk."""
MOVED_BYTES = 1 << 20
"""Memory or reads that grew by this much are work; less is noise."""
QUIET_MAX_S = 60.0
"""Once its time is over, an engine that loads may stand still for this long, or half its time if that is less."""
HARD_FACTOR = 8.0
"""Whatever moves, it is given up after so many times its time."""


class Verdict(StrEnum):
    """What a look showed."""

    WAIT = "wait"
    READY = "ready"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the next look shall bring beside the health page."""

    token: Ask = Ask.NO
    movement: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look brought; what was not asked for, or could not be had, is None."""

    health: Health
    token: Health | None = None
    figures: Figures | None = None
    movement: Movement | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it has loaded, and how often in a row it was not healthy. Times are monotonic seconds."""

    loading_since: float
    wait_s: float = LOADING_PROBE_S[0]
    fails: int = 0
    cause: Cause | None = None
    words: str = ""
    movement: Movement | None = None
    moved_at: float = 0.0
    pulse: Pulse | None = None
    """Since it is ready."""

    def asked(self, probes: Probes, rules: Rules, now: float, *, ready: bool, budget_s: float) -> Asked:
        """What the next look shall bring."""
        if not ready:
            wanted = Ask.YES if probes.functional else Ask.NO
            return Asked(wanted, movement=now - self.loading_since > budget_s / 2)
        if not probes.functional or self.pulse is None:
            return Asked()
        return Asked(self.pulse.ask(rules, now))

    def loading(self, seen: Seen, probes: Probes, now: float, budget_s: float) -> "tuple[Verdict, Patience]":
        """A look at an engine that loads; one that is healthy has to give a token first."""
        if seen.health is Health.READY and seen.token in {None, Health.READY}:
            pulse = Pulse(now, seen.figures)
            return Verdict.READY, replace(self, wait_s=probes.interval_s, fails=0, pulse=pulse)
        moved = self._moved(seen.movement, now)
        over = now - self.loading_since > budget_s
        quiet = now - moved.moved_at > min(QUIET_MAX_S, budget_s / 2)
        if (over and quiet) or now - self.loading_since > budget_s * HARD_FACTOR:
            return Verdict.DEAD, moved.late(seen, now)
        return Verdict.WAIT, replace(moved, wait_s=min(LOADING_PROBE_S[1], self.wait_s * SLOWER))

    def _moved(self, movement: Movement | None, now: float) -> "Patience":
        """Remember the largest figures so far, and when they grew."""
        before = self.movement
        if movement is None:
            return self
        if before is None:
            return replace(self, movement=movement, moved_at=now)
        grew = max(movement.memory_bytes - before.memory_bytes, movement.read_bytes - before.read_bytes)
        return replace(self, movement=movement, moved_at=now) if grew >= MOVED_BYTES else self

    def late(self, seen: Seen, now: float) -> "Patience":
        """It is given up: why."""
        took = f"not ready within {now - self.loading_since:.0f} s, and nothing moves"
        if seen.health is Health.READY:
            words = f"{took}: its health page says ready, but it gave no token ({seen.token})"
            return replace(self, cause=CAUSES["no_tokens"], words=words)
        return replace(self, cause=CAUSES["start_timeout"], words=f"{took}: its health was {seen.health}")

    def serving(self, seen: Seen, probes: Probes, now: float) -> "tuple[Verdict, Patience]":
        """A look at an engine that served before."""
        fails = 0 if seen.health is Health.READY else self.fails + 1
        if fails >= probes.failures:
            words = f"its health was {seen.health} {fails} times in a row"
            return Verdict.DEAD, replace(self, cause=CAUSES["not_healthy"], words=words)
        pulse = (self.pulse or Pulse(now)).seen(seen.figures, seen.token, now)
        if pulse.dead:
            words = f"its health page says {seen.health}, but no token came for {now - pulse.moved_at:.0f} s"
            return Verdict.DEAD, replace(self, cause=CAUSES["no_tokens"], words=words)
        return Verdict.READY, replace(self, fails=fails, wait_s=probes.interval_s, pulse=pulse)


def start_budget_s(probes: Probes, model_bytes: int) -> float:
    """How long an engine may load before it has to show that something moves."""
    return max(probes.start_timeout_s, model_bytes / SLOWEST_LOAD_BYTES_S)
