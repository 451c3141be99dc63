"""An engine's way from one generation to the next: beside the old one where there is room, else in its place.

Beside: the new one is brought up and proven (handover.py) while the old one serves; then the endpoint is announced, and
the old one ends when its requests have. In its place: said before, with how long it will take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.engines.containers_api import Observed
from actors.engines.kinds.base import Kind
from actors.engines.messages import Become, Wanted
from actors.supervision.context import Context
from actors.supervision.flag import Flag
from actors.supervision.messages import TaskDone, TaskFailed

from .drain import end
from .handover import DOCKER_RETRY_S, PREFIX, Cleared, Failed, Handover, NextLook, Proven, Retry
from .memory import Memory, version_of
from .voice import Voice
from .weights import move, release
from .world import World

FAREWELL = "farewell"


@dataclass(frozen=True, slots=True)
class Left:
    """The old generation is gone."""


Outcome = Proven | Failed | Cleared | Left | None


def why_not(old: Wanted, new: Wanted, crowded: str) -> str:
    """Why the new one cannot come up beside the old one; empty when it can."""
    if new.spec.update == "stop_start":
        return "its spec says stop_start"
    if new.spec.port is not None and new.spec.port == old.spec.port:
        return f"both want port {new.spec.port}"
    shared = sorted(set(old.gpus) & set(new.gpus))
    if shared:
        return f"both need GPU {shared[0]}"
    return crowded


class Update:
    """Of one engine; its actor passes on what its tasks bring and acts on the outcome."""

    def __init__(
        self, kind: Kind, world: World, voice: Voice, memory: Memory, context: Context, pending: Wanted | None
    ) -> None:
        self._kind, self._world, self._voice, self._memory, self._context = kind, world, voice, memory, context
        self._pending = pending
        """Was being brought up when the daemon ended: begun again as soon as the old one is found to serve."""
        self._handover: Handover | None = None
        self._queued: Become | None = None
        self._leaving: Observed | None = None
        self._flag: Flag = context.flag()
        self.took_s: float | None = None
        """How long the latest start took: what a stop and start will take."""

    # -- what is under way -----------------------------------------------------------------------------------

    @property
    def bringing(self) -> bool:
        """Whether a new generation is being brought up beside the old one, or taken away."""
        return self._handover is not None

    @property
    def busy(self) -> bool:
        """Whether the way to the newest generation has no end yet."""
        return self._handover is not None or self._pending is not None or self._queued is not None

    @property
    def occupied(self) -> bool:
        """Whether more than one container may be here."""
        return self.busy or self._leaving is not None

    @property
    def generation(self) -> int:
        """The newest that is known of; 0 when none is under way."""
        held = [one.wanted for one in (self._handover, self._queued) if one is not None]
        return max((one.generation for one in (*held, self._pending) if one is not None), default=0)

    @property
    def wanted(self) -> Wanted | None:
        """What is being brought up."""
        return self._handover.wanted if self._handover else None

    def others(self, found: Sequence[Observed]) -> list[Observed]:
        """The containers that are none of this update's: those of the generation that serves, and leftovers."""
        hidden = {self._handover.wanted.generation} if self._handover else set()
        if self._pending is not None:
            hidden.add(self._pending.generation)
        left = self._leaving.container_id if self._leaving else None
        return [one for one in found if one.generation not in hidden and one.container_id != left]

    def owns(self, task: str) -> bool:
        """Whether a task of that name is this update's."""
        return task.startswith(PREFIX) or task == FAREWELL

    # -- its beginning ---------------------------------------------------------------------------------------

    def refuses(self, wanted: Wanted, known_bad: Mapping[str, str]) -> str:
        """Why this version is not tried; empty when it is."""
        why = known_bad.get(version_of(wanted.spec))
        if why is None:
            return ""
        return f"this very version did not run here before ({why}); change it, or stop the engine and start it anew"

    def queues(self, ask: Become) -> bool:
        """Whether it has to wait: something is under way, and is ended for it."""
        if self._handover is None and self._leaving is None:
            self._pending = None
            return False
        self._queued = ask
        if self._handover is not None:
            self._handover.give_up()
        return True

    def next(self) -> Become | None:
        """What waited, when nothing is under way any more."""
        return None if self._handover is not None or self._leaving is not None else self.unqueue()

    def unqueue(self) -> Become | None:
        """What waited, whatever is under way."""
        queued, self._queued = self._queued, None
        return queued

    def beside(self, old: Wanted, ask: Become) -> bool:
        """Begin it beside the old one; False when it has to take its place at once, which is said with its time."""
        reason = why_not(old, ask.wanted, ask.crowded)
        numbers = f"generation {ask.wanted.generation} takes the place of {old.generation}"
        if reason:
            about = "" if self.took_s is None else f" for about {self.took_s:.0f} s"
            text = f"{numbers}, and nothing serves meanwhile{about}: {reason}"
            self._voice.emit("engine.updating", "warning", text, way="stop_start", down_s=self.took_s)
            return False
        self._voice.emit("engine.updating", "info", f"{numbers} when it has proven itself", way="side_by_side")
        self._memory.remember_beside(ask.wanted.generation)
        self._begin(ask.wanted)
        return True

    def _begin(self, wanted: Wanted) -> None:
        self._handover = Handover(wanted, self._kind, self._world, self._voice, self._context)
        self._handover.begin()

    def resume(self) -> None:
        """The old one serves: go on with what an earlier daemon began."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._begin(pending)

    def straight(self) -> Wanted | None:
        """What an earlier daemon began, now that the one that it was to stand beside is gone."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._memory.remember_beside(None)
        return pending

    def give_up(self) -> None:
        """The engine is to end: what is under way goes first."""
        self._pending = self._queued = None
        if self._handover is not None:
            self._handover.give_up()

    # -- its way ---------------------------------------------------------------------------------------------

    def again(self, message: NextLook | Retry) -> None:
        """A timer of the update's."""
        if isinstance(message, Retry) and message.step == FAREWELL:
            self._farewell()
            return
        if self._handover is None or self._handover.wanted.generation != message.generation:
            return
        if isinstance(message, Retry):
            self._handover.retry(message.step)
        else:
            self._handover.look()

    def changed(self, container_id: str) -> None:
        """Docker says that a container died."""
        if self._handover is not None:
            self._handover.changed(container_id)

    def took(self, message: TaskDone | TaskFailed) -> Outcome:
        """What a task brought."""
        if message.name == FAREWELL:
            return self._left(message)
        if self._handover is None:
            return None
        outcome = self._handover.took(message)
        if isinstance(outcome, Failed):
            self._handover.give_up()
        if isinstance(outcome, Cleared):
            self._handover = None
            self._memory.remember_beside(None)
        return outcome

    def switch(self, old: Wanted, container: Observed | None, new: Observed) -> None:
        """The new one serves: its port and model are the engine's now; the old container ends in its own time."""
        handover, self._handover = self._handover, None
        assert handover is not None
        world, name = self._world, old.name
        move(world.models, name, f"{name}+last")
        move(world.models, handover.holder, name)
        world.ports.free(handover.holder)
        world.ports.keep(name, new.port)
        self._memory.remember_beside(None)
        if container is None:
            release(world.models, f"{name}+last")
            return
        self._leaving = container
        self._farewell()

    def _farewell(self) -> None:
        self._flag = self._context.flag()
        self._context.task(FAREWELL, self._run_farewell, self._leaving, cancel=self._flag.set)

    def _run_farewell(self, seen: Observed) -> None:
        end(self._world, self._kind, (seen,), self._world.settings.drain_s, self._flag)
        release(self._world.models, f"{seen.engine}+last")

    def _left(self, message: TaskDone | TaskFailed) -> Outcome:
        if isinstance(message, TaskFailed) and message.kind != "Cancelled":
            self._voice.log.warning("engine.step_failed", step=FAREWELL, why=message.error)
            self._context.after(DOCKER_RETRY_S, Retry(0, FAREWELL))
            return None
        self._leaving = None
        return Left()
