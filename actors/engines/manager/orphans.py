"""Containers of this agent that nobody wants. `judge` is pure: those known to be stopped are ended after a grace time.

One that the journal has never heard of is only told of: a journal that was lost must not end what serves. A stop of its
name, with its generation or a newer one, makes it known.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from actors.engines.containers_api import Containers, Observed
from actors.journal import messages as journal
from actors.supervision.handle import Handle

LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`since` is kept for the next look; `end` has waited long enough; `new` is told of."""

    since: Mapping[str, float]
    end: tuple[Observed, ...]
    new: tuple[Observed, ...]


def judge(
    found: Iterable[Observed],
    wanted: AbstractSet[str],
    generations: Mapping[str, int],
    since: Mapping[str, float],
    now: float,
    grace_s: float,
) -> Verdict:
    """What is to be done about each container; `since` says when each orphan was first seen."""
    orphans = [one for one in found if one.engine not in wanted]
    first = {one.container_id: since.get(one.container_id, now) for one in orphans}
    over = [one for one in orphans if one.generation <= generations.get(one.engine, -1)]
    end = tuple(one for one in over if now - first[one.container_id] >= grace_s)
    new = tuple(one for one in orphans if one.container_id not in since)
    return Verdict(first, end, new)


class Orphans:
    """What was seen so far, and the telling of it."""

    def __init__(self, journal_handle: Handle, grace_s: float) -> None:
        self._journal, self._grace_s = journal_handle, grace_s
        self._since: Mapping[str, float] = {}
        self.look_s = min(LOOK_S, grace_s)

    def seen(
        self, found: object, wanted: AbstractSet[str], generations: Mapping[str, int], now: float
    ) -> tuple[Observed, ...]:
        """Take a look's containers; those that are to be ended now."""
        assert isinstance(found, Sequence)
        verdict = judge(found, wanted, generations, self._since, now, self._grace_s)
        self._since = verdict.since
        for one in verdict.new:
            over = one.generation <= generations.get(one.engine, -1)
            what = "it was stopped, and is ended after a while" if over else "nothing is known of it, so it runs on"
            text = f"container {one.name} is of this agent, and nobody wants it: {what}"
            self._journal.tell(journal.Emit("engine.orphan", "warning", f"engine/{one.engine}", text))
        return verdict.end


def reap(containers: Containers, orphans: Sequence[Observed]) -> None:
    """End them; blocking."""
    for one in orphans:
        containers.signal(one.container_id, "SIGTERM")
        containers.remove(one.container_id)
