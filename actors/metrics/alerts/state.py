"""What the alert step remembers between two looks, and its form on disk. Pure, no I/O.

Durations are kept on the monotonic clock, moments for people on the wall clock: a stepped clock raises nothing.
On disk a monotonic moment is its age, so that the time without a daemon counts for nothing.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from .rule import Figures, Severity

FORMAT = 1
DIGEST_BYTES = 10
FINGERPRINTS_KEPT = 256
"""Of alerts that are on, which are shown at each look."""


class Phase(StrEnum):
    """Where an alert is."""

    PENDING = "pending"
    FIRING = "firing"
    OVER = "over"
    """Ended, remembered while it may flap or its end is not told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks, and which boot of the machine it is."""

    mono_s: float
    wall_s: float
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """What is known now: scope -> subject -> figures."""

    values: Mapping[str, Mapping[str, Figures]]
    whole: frozenset[str] = frozenset()
    """Scopes whose subjects are all here: one that is not was removed on purpose."""
    fresh: Mapping[str, Mapping[str, AbstractSet[str]]] | None = None
    """Scope -> subject -> signals that are other than at the look before; None: all may be."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule and one subject."""

    rule: str
    scope: str
    subject: str
    phase: Phase
    since_s: float
    """When the phase's condition began; monotonic."""
    seen_s: float
    """When its signals were last known; monotonic."""
    changed_s: float
    """When the condition last turned; monotonic."""
    starts_at: float = 0.0
    ends_at: float | None = None
    """Wall clock, seconds since the epoch."""
    clear_since_s: float | None = None
    value: float | None = None
    text: str = ""
    count: int = 0
    flips: tuple[float, ...] = ()
    """Its latest turns, monotonic."""
    flapping: bool = False
    told: str = ""
    """What the master heard last: nothing, firing, flapping or resolved."""
    boot_id: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Rule and subject."""
        return self.rule, self.subject

    @property
    def firing(self) -> bool:
        """Whether it counts as on."""
        return self.phase is Phase.FIRING


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many transitions of a rule may still be told now."""

    tokens: float
    at_s: float
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that the step remembers."""

    alerts: Mapping[tuple[str, str], Alert] = field(default_factory=lambda: MappingProxyType({}))
    buckets: Mapping[str, Bucket] = field(default_factory=lambda: MappingProxyType({}))
    sequence: int = 0
    """Of the last transition."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What the master is told."""

    sequence: int
    rule: str
    scope: str
    subject: str
    severity: Severity
    state: Literal["firing", "resolved"]
    starts_at: float
    ends_at: float | None
    value: float | None
    text: str
    flapping: bool = False


@functools.lru_cache(maxsize=FINGERPRINTS_KEPT)
def fingerprint(node: str, rule: str, scope: str, subject: str) -> str:
    """One alert for ever: of what it is about, never of its value or text."""
    words = f"{node}\0{rule}\0{scope}\0{subject}".encode()
    return hashlib.blake2b(words, digest_size=DIGEST_BYTES).hexdigest()


def encode(memory: Memory, now: Moment) -> bytes:
    """The memory for the disk; buckets begin anew."""
    rows = [_aged(alert, now.mono_s) for alert in memory.alerts.values()]
    return json.dumps({"format": FORMAT, "sequence": memory.sequence, "alerts": rows}).encode()


def decode(raw: bytes | None, now: Moment) -> Memory:
    """The memory from the disk; ValueError when it is none of ours."""
    if raw is None:
        return Memory()
    try:
        document = json.loads(raw)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        alerts = [_restored(row, now.mono_s) for row in document["alerts"]]
        return Memory(MappingProxyType({alert.identity: alert for alert in alerts}), sequence=int(document["sequence"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a saved alert set: {error!r}") from error


def _aged(alert: Alert, now_s: float) -> dict[str, Any]:
    return asdict(_shifted(alert, -now_s))


def _restored(row: dict[str, Any], now_s: float) -> Alert:
    alert = Alert(**(row | {"phase": Phase(row["phase"]), "flips": tuple(row["flips"])}))
    return _shifted(alert, now_s)


def _shifted(alert: Alert, by_s: float) -> Alert:
    clear = alert.clear_since_s
    return replace(
        alert,
        since_s=alert.since_s + by_s,
        seen_s=alert.seen_s + by_s,
        changed_s=alert.changed_s + by_s,
        clear_since_s=None if clear is None else clear + by_s,
        flips=tuple(flip + by_s for flip in alert.flips),
    )
