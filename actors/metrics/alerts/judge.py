"""What the alerts know, and the thread with the news steps: most samples change nothing, and then no actor is woken.

The sampler's thread brings each sample to the door and judges it there, since it is awake and what it saw is in the
processor's caches. The actor is nudged when something turned or is on; it alone saves, tells and shows.
"""

from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from dataclasses import replace

from actors.facts import EnginesChanged, LinkChanged
from actors.metrics.snapshot import Snapshot
from config.metrics import MetricsSettings

from .derive import Signals
from .rule import Rules
from .state import Memory, Moment, Transition
from .step import step


class Judge:
    """Signals, rules and memory of one incarnation of the actor; any thread calls it. `lock` is the runtime's."""

    def __init__(
        self,
        settings: MetricsSettings,
        rules: Rules,
        moment: Callable[[], Moment],
        lock: AbstractContextManager[object],
        memory: Memory,
    ) -> None:
        self._rules, self._moment, self._lock, self._memory = rules, moment, lock, memory
        self._signals = Signals(settings, moment().mono_s)
        self._turned: tuple[Transition, ...] = ()
        self._broken: Exception | None = None
        self.sampled_s = float("-inf")
        """When the last sample came, monotonic."""

    def sampled(self, snapshot: Snapshot) -> bool:
        """In the sampler's thread: judge a sample; whether the actor has something to do. Never raises."""
        with self._lock:
            try:
                now = replace(self._moment(), wall_s=snapshot.at)  # an alert began with the sample that shows it
                self.sampled_s = now.mono_s
                self._look(self._signals.snapshot_is(snapshot, now.mono_s) | self._open(), now)
            except Exception as error:  # noqa: BLE001  # the actor's own fault, which it hears of from `take`
                self._broken = error
            return bool(self._broken or self._turned or self._memory.alerts)

    def engines_are(self, changed: EnginesChanged) -> None:
        """The whole set of engines."""
        with self._lock:
            now = self._moment()
            self._signals.engines_are(changed.engines, now.mono_s)
            self._look({"engine"}, now)

    def link_is(self, changed: LinkChanged) -> None:
        """What the link knows of the master's clock."""
        with self._lock:
            self._signals.link_is(changed)
            self._look({"host"}, self._moment())

    def time_passed(self) -> None:
        """`for` and `keep` go on, and a sampler that fell silent is seen."""
        with self._lock:
            self._look(self._open(), self._moment())

    def take(self) -> tuple[Memory, tuple[Transition, ...]]:
        """What is remembered, and what turned since the last call. Raises what a sample was judged with."""
        with self._lock:
            if self._broken is not None:
                raise self._broken
            turned, self._turned = self._turned, ()
            return self._memory, turned

    def _open(self) -> frozenset[str]:
        """Scopes in which something is on, or may soon be."""
        return frozenset(alert.scope for alert in self._memory.alerts.values())

    def _look(self, scopes: Container[str], now: Moment) -> None:
        samples = self._signals.samples(now.mono_s, scopes)
        self._memory, turned = step(self._rules, self._memory, samples, now)
        self._turned += turned


class Turned:
    """To the actor of the alerts: something turned, or is on."""


class Door:
    """Where samples come in, whichever incarnation of the actor is behind it; `nudge` tells it, and must not block."""

    def __init__(self, nudge: Callable[[Turned], None]) -> None:
        self._nudge = nudge
        self.judge: Judge | None = None
        """None while the actor restarts: what comes meanwhile is in the next sample."""

    def sampled(self, snapshot: Snapshot) -> None:
        """In the sampler's thread. A nudge that is lost is made good by the next sample, or by the actor's timer."""
        judge = self.judge
        if judge is not None and judge.sampled(snapshot):
            self._nudge(Turned())
