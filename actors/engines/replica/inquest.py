"""What is left of an engine that was replaced at once: its words are read when the next one serves, then it is removed.

Docker holds a dead container fast for up to a third of a second, its log too. One that served until now is started
again whatever its log says, so the log can wait; what it tells puts the cause right afterwards.
"""

from dataclasses import replace

from actors.clock import WallClock
from actors.engines.failures import CAUSES, Cause, classify, exit_words
from actors.engines.kinds.base import Kind
from actors.supervision.context import Context
from actors.supervision.messages import TaskDone, TaskFailed

from . import steps
from .tries import Death, Tries
from .world import World

READ, SWEEP = "inquest", "sweep"
"""Tasks beside the steps; one that fails leaves something that the next look clears."""
LATEST_S = 1.0
"""A way back that takes longer than this, to load a model or to bring an image, is not waited for."""


class Late:
    """To the actor itself: the next one takes long, so `read` now."""


class Inquest:
    """Of one engine; its actor passes on what its tasks bring."""

    def __init__(self, kind: Kind, world: World, tries: Tries, context: Context, wall: WallClock) -> None:
        self._kind, self._world, self._tries, self._context, self._wall = kind, world, tries, context, wall
        self._case: tuple[str, int, bool] | None = None
        """What the reading begins with, until it does."""
        self._read: Death | None = None
        """Its words are to be read, or being read."""
        self._swept: str | None = None
        """Is to be removed as soon as its words are read."""

    @staticmethod
    def owns(name: str) -> bool:
        """Whether a task of this name is ours."""
        return name in {READ, SWEEP}

    def open(self, container_id: str, exit_code: int, *, oom: bool) -> Death:
        """The death as far as Docker's event tells it; its words follow, once they are `read`."""
        cause = classify(exit_code, oom_killed=oom, log=(), failures=())
        death = Death(self._wall(), cause, exit_words(exit_code), steps.Autopsy(exit_code, oom, log=()))
        if self._read is None:
            self._read = death
            self._case = (container_id, exit_code, oom)
            self._context.after(LATEST_S, Late())
        return death

    def read(self) -> None:
        """Its words, if nobody reads them yet: the next one serves, takes long, or is not to be."""
        case, self._case = self._case, None
        if case is not None:
            self._context.task(READ, self._words, *case)

    def _words(self, container_id: str, exit_code: int, oom: bool) -> steps.Autopsy:
        return steps.autopsy(self._world, container_id, exit_code, oom=oom)

    def sweep(self, container_id: str) -> None:
        """The next one runs: remove the dead one, when its words are read."""
        if self._read is not None:
            self._swept = container_id
        else:
            self._context.task(SWEEP, steps.sweep, self._world, container_id)

    def took(self, message: TaskDone | TaskFailed) -> Cause | None:
        """What a task brought: the cause of the latest death, if it is another than was told."""
        value = message.value if isinstance(message, TaskDone) else None
        if message.name == READ:
            death, self._read = self._read, None
            container_id, self._swept = self._swept, None
            if container_id is not None:
                self.sweep(container_id)
            return self._learned(death, value)
        oom = CAUSES["host_out_of_memory"]
        return oom if value and self._tries.correct_latest("killed", oom) else None

    def _learned(self, death: Death | None, found: object) -> Cause | None:
        if death is None or not isinstance(found, steps.Autopsy) or found.removed:
            return None
        failures = self._kind.traits.failures
        cause = classify(found.exit_code, oom_killed=found.oom_killed, log=found.log, failures=failures)
        self._tries.complete(replace(death, cause=cause, autopsy=found))
        return cause if cause != death.cause else None
