"""One look at every engine's container, from its control group's files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.facts import EngineFacts

from .cgroup import Groups

RATES = {
    "cpu_s_total": "cpu_cores",
    "read_bytes_total": "read_bytes_per_s",
    "written_bytes_total": "written_bytes_per_s",
}
"""Counter -> its pace in units a second."""


class ContainersLook:
    """Keeps what rates need between two looks; one thread calls it."""

    def __init__(self, groups: Groups, clock: Callable[[], float]) -> None:
        self._groups, self._clock = groups, clock
        self._before: dict[tuple[str, int | None], tuple[float, Mapping[str, Any]]] = {}

    def look(self, engines: Sequence[EngineFacts]) -> Mapping[str, Mapping[str, Any]]:
        """Engine -> figures; an engine without a container has none."""
        keys = {engine.name: (engine.container_id or "", engine.pid) for engine in engines}
        self._groups.keep_only(set(keys.values()))
        before, self._before = self._before, {}
        found: dict[str, Any] = {}
        for engine in engines:
            usage = self._groups.usage(engine.container_id, engine.pid)
            if usage is not None:
                key, now_s = keys[engine.name], self._clock()
                self._before[key] = (now_s, usage)
                old = before.get(key)
                found[engine.name] = usage if old is None else usage | _rates(old[1], usage, now_s - old[0])
        return {"containers": found}


def _rates(before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for counter, pace in RATES.items():
        old, new = before.get(counter), now.get(counter)
        if old is not None and new is not None and new >= old and seconds > 0:
            found[pace] = round((new - old) / seconds, 4)
    return found
