"""What was refused at which door: one line of the log and one count each. Never what was sent."""

from collections import Counter

import structlog


class Audit:
    """Doors and codes are closed sets, so the counts are bounded whatever is sent."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._log = structlog.get_logger().bind(actor="audit")

    def refused(self, door: str, code: str, **where: object) -> None:
        """`door` is one of ours, `code` one of the protocol's, `where` names who (an agent, an address)."""
        self._counts[door, code] += 1
        self._log.warning("refused", door=door, code=code, **where)

    def counts(self) -> dict[str, int]:
        """`door.code` -> how often, since this master began."""
        return {f"{door}.{code}": count for (door, code), count in sorted(self._counts.items())}
