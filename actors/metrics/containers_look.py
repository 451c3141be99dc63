"""One look at every engine's container, from its control group's files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.facts import EngineFacts

from .cgroup import Groups

Key = tuple[str, int | None]
"""Container and its first process: another one begins anew."""
PACES = (
    ("cpu_s_total", "cpu_cores", 4),
    ("read_bytes_total", "read_bytes_per_s", 1),
    ("written_bytes_total", "written_bytes_per_s", 1),
)
"""Counter, its pace in units a second, digits behind the point."""


class ContainersLook:
    """Keeps what rates need between two looks; one thread calls it."""

    def __init__(self, groups: Groups, clock: Callable[[], float]) -> None:
        self._groups, self._clock = groups, clock
        self._engines: Sequence[EngineFacts] | None = None
        self._keys: dict[str, Key] = {}
        self._before: dict[Key, tuple[float, Mapping[str, Any]]] = {}

    def look(self, engines: Sequence[EngineFacts]) -> Mapping[str, Mapping[str, Any]]:
        """Engine -> figures; an engine without a container has none."""
        if engines is not self._engines:
            self._begin(tuple(engines))
        before, self._before = self._before, {}
        found: dict[str, Any] = {}
        for name, key in self._keys.items():
            usage = self._groups.usage(*key)
            if usage is not None:
                now_s, old = self._clock(), before.get(key)
                self._before[key] = (now_s, usage)
                if old is not None:
                    _put_paces(usage, old[1], now_s - old[0])
                found[name] = usage
        return {"containers": found}

    def _begin(self, engines: tuple[EngineFacts, ...]) -> None:
        """Other engines, or other facts of theirs."""
        self._engines = engines
        self._keys = {engine.name: (engine.container_id or "", engine.pid) for engine in engines}
        self._groups.keep_only(set(self._keys.values()))


def _put_paces(now: dict[str, Any], before: Mapping[str, Any], seconds: float) -> None:
    for counter, pace, digits in PACES:
        old, new = before.get(counter), now.get(counter)
        if old is not None and new is not None and new >= old and seconds > 0:
            now[pace] = round((new - old) / seconds, digits)
