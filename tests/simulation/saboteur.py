"""Stands between every actor and its handler while a world runs, and springs the traps that faults have set."""

import asyncio
from dataclasses import dataclass

from actors.supervision.worker import ActorBehaviour


class Injected(Exception):  # noqa: N818  # a fault, not an error of ours
    """The fault that a handler meets."""


BASES = (SystemExit, KeyboardInterrupt, asyncio.CancelledError, MemoryError, GeneratorExit)
HANG_S = (5.0, 400.0)


@dataclass(frozen=True)
class Trap:
    """The next message of this actor fails: `how` is before, after, base or hang."""

    path: str
    how: str
    base: type[BaseException]
    hang_s: float

    @classmethod
    def drawn(cls, path, how, rng):
        return cls(path, how, rng.choice(BASES), rng.uniform(*HANG_S))


class Saboteur:
    """Takes the place of every actor's message handler while a world runs."""

    def __init__(self, world):
        self._world = world
        self._handler = ActorBehaviour.on_message
        self.traps = {}

    def __enter__(self):
        handler, saboteur = self._handler, self

        def on_message(behaviour, message, future):
            actor = behaviour._actor
            trap = saboteur.traps.pop(actor.context.path, None) if saboteur.traps else None
            if trap is None:
                return handler(behaviour, message, future)
            return saboteur.spring(trap, lambda: handler(behaviour, message, future))

        ActorBehaviour.on_message = on_message
        return self

    def __exit__(self, *_):
        ActorBehaviour.on_message = self._handler

    def spring(self, trap, handle):
        if trap.how == "before":
            raise Injected("before the effect")
        if trap.how == "base":
            raise trap.base("leaked")
        if trap.how == "hang":
            self._world.process.runtime.parker().park(trap.hang_s)
        answer = handle()
        if trap.how == "after":
            raise Injected("after the effect")
        return answer
