"""Does an engine make tokens? Pure: looks and the time are arguments.

An engine can answer 200 on its health page and make no token. So its own counters are watched: while requests are in
it, tokens must advance; where nothing asks, a request for one token is sent now and then. Neither alone ends an engine:
counters that stand still are only a suspicion, which a token of ours that does not come confirms.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from .figures import Figures
from .probe import Health

FAILS_MAX = 2
"""So many tokens in a row that did not come."""


class Ask(StrEnum):
    """Whether the next look asks for a token."""

    NO = "no"
    IF_IDLE = "if_idle"
    YES = "yes"


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds. `stall_s`: requests wait and no counter moves; `canary_s`: nothing moves at all; 0 asks never."""

    stall_s: float
    canary_s: float


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the looks so far showed; times are monotonic seconds."""

    moved_at: float
    """A counter moved, or a token came."""
    figures: Figures | None = None
    fails: int = 0

    def ask(self, rules: Rules, now: float) -> Ask:
        """What the next look shall do."""
        still_s = now - self.moved_at
        busy = self.figures is not None and self.figures.requests > 0
        if self.fails or (busy and still_s >= rules.stall_s > 0):
            return Ask.YES
        return Ask.IF_IDLE if not busy and still_s >= rules.canary_s > 0 else Ask.NO

    def seen(self, figures: Figures | None, token: Health | None, now: float) -> "Pulse":
        """After a look. `token` is None when none was asked for."""
        before = self.figures
        moved = figures is not None and (before is None or figures.tokens != before.tokens)
        kept = figures or before
        if token is Health.READY or (moved and token is None):
            return Pulse(now, kept)
        if token is None:
            return replace(self, figures=kept, fails=self.fails if not moved else 0)
        if moved:
            return Pulse(now, kept)  # ours waits behind work that goes on
        return replace(self, figures=kept, fails=self.fails + 1)

    @property
    def dead(self) -> bool:
        """It makes no tokens."""
        return self.fails >= FAILS_MAX
