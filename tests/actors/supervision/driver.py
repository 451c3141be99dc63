"""Drives a supervisor's core without threads: virtual time, its timers, and children that do as they are told."""

import heapq
import itertools
from random import Random

from actors.supervision.core import Core
from actors.supervision.effects import Arm, Finish, Report, SendStop, Spawn
from actors.supervision.signals import Boot, Down, Kind, Ready, Request, Shutdown, TimerFired
from actors.supervision.spec import Backoff, ChildSpec, Strategy, SupervisorSpec

NO_BACKOFF = Backoff(min_s=0.001, max_s=0.001, jitter=0.0, reset_after_s=1e9)


def child(name, **spec):
    return ChildSpec(name, object, **spec)  # type: ignore[arg-type]  # the core never calls it


class Driver:
    """`obedient` children are ready at once and stop at once."""

    def __init__(self, *children, obedient=True, strategy=Strategy.ONE_FOR_ONE, seed=1, **flags):
        flags = {"intensity": 1000, "period_s": 1e6} | flags
        self.core = Core(SupervisorSpec(strategy, children, **flags), Random(seed))
        self.now, self.obedient = 0.0, obedient
        self.effects, self.timers, self._serial = [], [], itertools.count()

    def boot(self):
        self.send(Boot())
        return self

    def send(self, event):
        """Feed one event; then what obedient children do. The effects of the event itself are returned."""
        effects = self.core.handle(event, self.now)
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, Arm):
                fired = TimerFired(effect.id, effect.due, effect.epoch)
                heapq.heappush(self.timers, (self.now + effect.delay_s, next(self._serial), fired))
        if self.obedient:
            for effect in effects:
                if isinstance(effect, Spawn):
                    self.send(Ready(effect.spec.id, effect.incarnation))
                elif isinstance(effect, SendStop):
                    self.down(effect.id, Kind.SHUTDOWN)
        return effects

    def down(self, name, kind=Kind.CRASH, reason="boom"):
        found = self.core.children[name]
        return self.send(Down(name, found.incarnation, kind, reason))

    def ask(self, message):
        asker = object()
        self.send(Request(message, asker))
        return self.reply(asker)

    def reply(self, asker):
        found = [effect.reply for effect in self.effects if getattr(effect, "asker", None) is asker]
        return found[0] if found else None

    def shutdown(self):
        return self.send(Shutdown("test"))

    def advance(self, seconds):
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            self.now, _, fired = heapq.heappop(self.timers)
            self.send(fired)
        self.now = until

    def settle(self):
        """Pass the time until nobody waits for a restart, and no more."""
        while due := [found.due_at for found in self.core.children.values() if found.due_at is not None]:
            self.advance(max(0.0, min(due) - self.now))

    def phase(self, name):
        found = self.core.children.get(name)
        return str(found.phase) if found else None

    def incarnations(self):
        return {name: found.incarnation for name, found in self.core.children.items()}

    def spawned(self):
        return [effect.spec.id for effect in self.effects if isinstance(effect, Spawn)]

    def stopped(self):
        return [effect.id for effect in self.effects if isinstance(effect, SendStop)]

    def reports(self, kind):
        return [effect for effect in self.effects if isinstance(effect, Report) and effect.kind == kind]

    @property
    def finished(self):
        return next((effect for effect in self.effects if isinstance(effect, Finish)), None)
