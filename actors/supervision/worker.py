"""The behaviour of an ordinary child: it carries an Actor of some room."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .actor import Actor
from .context import Context
from .death import Death
from .signals import Kind, Probe, Signal, Stop

if TYPE_CHECKING:
    from .future import Future
    from .incarnation import Incarnation


class ActorBehaviour:
    """Builds the actor inside its own thread, so that a slow or raising constructor hits nobody else."""

    def __init__(self, factory: Callable[[], Actor]) -> None:
        self._factory: Callable[[], Actor] | None = factory
        self._actor: Actor | None = None

    def start(self, incarnation: "Incarnation") -> object:
        """Build, give the context, run on_start."""
        factory, self._factory = self._factory, None
        assert factory is not None  # an incarnation begins once
        actor = factory()
        factory = None
        actor.context = Context(incarnation)
        self._actor = actor
        return actor.on_start()

    def on_signal(self, signal: Signal) -> Death | None:
        """Stop ends it; a probe is answered."""
        if isinstance(signal, Stop):
            return Death(Kind.SHUTDOWN, signal.reason)
        if isinstance(signal, Probe):
            signal.answer()
        return None

    def on_message(self, message: object, future: "Future | None") -> object:  # noqa: ARG002  # a supervisor needs it
        """Hand the message to the actor."""
        assert self._actor is not None  # start ran before
        return self._actor.on_message(message)

    def cleanup(self, death: Death) -> None:
        """on_stop after an orderly end, on_crash after any other; nothing when it was never built."""
        if self._actor is None:
            return
        if death.cause is None:
            self._actor.on_stop(death.reason)
        else:
            self._actor.on_crash(death.cause)
