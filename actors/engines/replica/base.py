"""What one engine's actor holds, its one blocking step at a time, and what it tells others.

Docker is only ever called in the actor's own task threads, one at a time, so that it always answers.
"""

from dataclasses import replace

from actors.clock import WallClock
from actors.engines import messages as say
from actors.engines.containers_api import Observed
from actors.engines.kinds.base import Kind
from actors.facts import EngineFacts
from actors.supervision.actor import Actor
from actors.supervision.handle import Handle
from actors.supervision.tasks import Task
from protocol.messages.reports import Failure

from .health import Patience
from .inquest import Inquest
from .memory import Memory
from .tries import Tries
from .update import Update
from .voice import Ending, Voice
from .world import World


class Again:
    """To itself: look at what is there and go on."""


class Probe:
    """To itself: look at the engine's health."""


class Retire:
    """To itself: take away a container that was given up and may still run."""


class Replica(Actor):
    """See the module. `world` has Docker, models and ports; `kind` knows the engine's words."""

    _tries: Tries
    _update: Update
    _inquest: Inquest

    def __init__(
        self, *, wanted: say.Wanted, kind: Kind, world: World, manager: Handle, journal_handle: Handle, wall: WallClock
    ) -> None:
        self._wanted, self._kind, self._world, self._wall = wanted, kind, world, wall
        self._voice = Voice(wanted.name, manager, journal_handle, wanted.command_id)
        self._memory = Memory(journal_handle, wanted.name)
        self._facts = EngineFacts(wanted.name, wanted.spec.kind, "starting", wanted.spec.image, wanted.spec.model.uri)
        self._container: Observed | None = None
        self._condemned: str | None = None
        """A container that may still run, but does not serve: it is removed, never adopted again."""
        self._task: Task | None = None
        self._ending: say.StopEngine | say.RestartEngine | None = None
        self._good: say.Wanted | None = None
        self._bad: int | None = None
        """The generation that did not run and for which the last good one stands in."""
        self._patience = Patience(0.0)
        self._budget_s = 0.0
        self._ready_at: float | None = None
        self._early: str | None = None
        """A container that Docker called dead before its start was through."""
        self._oom: str | None = None
        """A container in which something met its memory limit."""
        self._safe_mode = ""
        """In which way it runs with less than its spec says; empty when it does not."""

    def _step(self, name: str, fn: object, *args: object) -> bool:
        """Begin a blocking step; only one runs at a time."""
        if self._task is not None:
            return False
        self._cancel = self.context.flag()
        assert callable(fn)
        if name not in {"launch", "probe"}:
            self._inquest.read()  # only the way back to serving goes before the words of the dead
        self._task = self.context.task(name, fn, *args, cancel=self._cancel.set)
        return True

    # -- what the parts ask of each other --------------------------------------------------------------------

    def _observe(self) -> None:
        """Look at what is there and go on."""
        raise NotImplementedError

    def _launch(self, after: str | None = None) -> None:
        """Start a container; `after` is one that died just now."""
        raise NotImplementedError

    def _probe(self) -> None:
        """Look at its health."""
        raise NotImplementedError

    # -- telling ---------------------------------------------------------------------------------------------

    def _show(self, state: str, why: str) -> None:
        self._facts = replace(self._facts, state=state, why=why)
        self._voice.show(self._facts)

    def _settled(self) -> None:
        newest = max(self._wanted.generation, self._bad or 0)
        self._voice.to_manager(say.Settled(self._wanted.name, newest, self._wanted.gpus))

    def _failure(self, why: str) -> Failure:
        return Failure(code="E_ENGINE", what=f"engine {self._wanted.name} does not run", why=why[:4_000], do="")

    def _answer(self, state: Ending, error: Failure | None = None) -> None:
        """Tell whoever waits for this engine; who waits for an update hears of that one's end alone."""
        if self._update.busy:
            return
        data = {"endpoint": self._facts.endpoint, "container_id": self._facts.container_id} if state == "done" else {}
        self._voice.answer_all(state, error, data)
