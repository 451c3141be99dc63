"""What was refused of the master: counted, one line each, and an event when an operator should know."""

from collections import Counter
from dataclasses import dataclass, field

import structlog

from .messages import FrameRefused

AGAIN_S = 3_600.0
"""An event of the same code comes at most this often: a master that goes on lying does not fill the journal."""
TOLD = {
    "E_SIG": "a frame was not signed by the master's key",
    "E_KID": "a frame was signed by a key that is not the master's",
    "E_ROLE": "something was signed by a key of another role: a part of the master may be in strange hands",
    "E_KEYSET": "the master showed a keyset that does not hold; the one at hand is kept",
    "E_RETIRED": "a command was signed by a key that holds no more",
    "E_KEYSET_EXPIRED": "the keyset has expired and no command is taken; renew it: mosalama-master keyset renew",
    "E_SEQ": "frames came out of order or twice",
    "E_SID": "a frame of another session came",
    "E_VERSION": "the master speaks no version that this machine takes",
    "E_CLOCK": "the clocks of this machine and of the master differ too much; set the time",
}
SEVERE = frozenset({"E_SIG", "E_KID", "E_ROLE", "E_KEYSET", "E_KEYSET_EXPIRED"})


@dataclass(slots=True)
class Refusals:
    """Counts by code; codes are a closed set."""

    counts: Counter[str] = field(default_factory=Counter)
    told_at: dict[str, float] = field(default_factory=dict)

    def take(self, refused: FrameRefused, now_s: float) -> str | None:
        """Count it and write its line; the text of an event, when one is due."""
        self.counts[refused.code] += 1
        structlog.get_logger().warning(
            "refused", actor="link", code=refused.code, field=refused.field, why=refused.detail, fatal=refused.fatal
        )
        if refused.code not in TOLD or now_s - self.told_at.get(refused.code, -AGAIN_S) < AGAIN_S:
            return None
        self.told_at[refused.code] = now_s
        return TOLD[refused.code]

    def shown(self) -> tuple[tuple[str, int], ...]:
        """Code and how often, since this process began."""
        return tuple(sorted(self.counts.items()))
