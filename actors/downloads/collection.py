"""What goes when space is needed. Pure: versions, partials, bounds, time and a wish in; a plan with reasons out.

Idle partials go first, then versions that nobody uses, the longest unused first, and no more of them than are needed.
Never: what an engine has leased, what is pinned, what is current, what is young. A file that several versions share
frees nothing until the last of them goes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NEEDED = "space is needed"


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing that takes space: a version, or the partial of one. Times are seconds since the epoch."""

    key: str
    own_bytes: int
    """Of files that nothing else has."""
    shared: Mapping[object, int] = field(default_factory=dict)
    """Identity of a shared file -> its bytes."""
    used_at: float = 0.0
    """Last use: published, leased or released; of a partial the last byte."""
    leases: int = 0
    pinned: bool = False
    current: bool = False
    partial: bool = False
    active: bool = False
    """A transfer is at work on it, or adds to it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What this machine set."""

    young_s: float
    unused_age_s: float | None
    """A version unused for so long goes even when there is room; None: never."""
    partial_budget_bytes: int
    partial_age_s: float


@dataclass(frozen=True, slots=True)
class Doomed:
    """One thing that goes, why, and what that frees."""

    key: str
    partial: bool
    why: str
    frees_bytes: int


@dataclass(frozen=True, slots=True)
class Spared:
    """One thing that stays although it would be next, and why."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes in this order, what stays, and what is still missing then."""

    doomed: tuple[Doomed, ...]
    spared: tuple[Spared, ...]
    short_bytes: int

    @property
    def frees_bytes(self) -> int:
        """All of it."""
        return sum(one.frees_bytes for one in self.doomed)


def protection(one: Stored, bounds: Bounds, now: float) -> str:
    """Why it may not go now; empty when it may. A time in the future (the clock was set back) counts as now."""
    if one.active:
        return "a transfer is at work on it"
    if one.partial:
        return ""
    if one.leases:
        return "an engine uses it"
    if one.pinned:
        return "it is pinned"
    if one.current:
        return "it is the current version"
    return "it is young" if now - min(one.used_at, now) < bounds.young_s else ""


def collect(stored: Sequence[Stored], bounds: Bounds, now: float, need_bytes: int, *, partly: bool = False) -> Plan:
    """The plan that frees `need_bytes`, and whatever is over its age or budget besides.

    When so much cannot be freed nothing goes for it, unless `partly`.
    """
    spared = tuple(Spared(one.key, why) for one in stored if (why := protection(one, bounds, now)))
    kept = {one.key for one in spared}
    loose = [one for one in stored if one.key not in kept]
    loose.sort(key=lambda one: (not one.partial, one.used_at, one.key))
    taking = _Taking(stored)
    for one, why in _overdue(loose, bounds, now):
        taking.take(one, why)
    overdue = len(taking.doomed)
    for one in loose:
        if taking.freed_bytes >= need_bytes:
            break
        taking.take(one, NEEDED)
    possible = partly or taking.freed_bytes >= need_bytes
    doomed = tuple(
        one for place, one in enumerate(taking.doomed) if place < overdue or (possible and taking.helps(one))
    )
    return Plan(doomed, spared, max(0, need_bytes - sum(one.frees_bytes for one in doomed)))


def _overdue(loose: Sequence[Stored], bounds: Bounds, now: float) -> Iterable[tuple[Stored, str]]:
    """What goes whether space is needed or not."""
    partials = [one for one in loose if one.partial]
    held = sum(one.own_bytes for one in partials)
    for one in partials:
        if now - one.used_at > bounds.partial_age_s:
            yield one, "the partial is too old"
        elif held > bounds.partial_budget_bytes:
            yield one, "partials are over their budget"
        else:
            continue
        held -= one.own_bytes
    for one in loose:
        if not one.partial and bounds.unused_age_s is not None and now - one.used_at > bounds.unused_age_s:
            yield one, "it was not used for too long"


class _Taking:
    """Counts what is freed, a shared file only with its last holder."""

    def __init__(self, stored: Sequence[Stored]) -> None:
        self._by_key = {one.key: one for one in stored}
        self._holders = Counter(blob for one in stored for blob in one.shared)
        self._taken: set[str] = set()
        self.doomed: list[Doomed] = []
        self.freed_bytes = 0

    def take(self, one: Stored, why: str) -> None:
        """This one goes; once."""
        if one.key in self._taken:
            return
        self._taken.add(one.key)
        frees = one.own_bytes
        for blob, size in one.shared.items():
            self._holders[blob] -= 1
            frees += 0 if self._holders[blob] else size
        self.freed_bytes += frees
        self.doomed.append(Doomed(one.key, one.partial, why, frees))

    def helps(self, doomed: Doomed) -> bool:
        """Whether its end frees anything, itself or with others that go."""
        one = self._by_key[doomed.key]
        return one.own_bytes > 0 or any(not self._holders[blob] for blob in one.shared)
