"""One life of a child: one pykka actor on one worker, with the whole actor loop replaced by ours.

pykka's own loop misses four of six ways to die and stops every actor of the process on a `BaseException`;
here every way ends in exactly one Down to the supervisor, after the cleanup, with text instead of live
exceptions.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import pykka

from .current import LOOP, OWNER
from .death import Death, death_of
from .envelope import Envelope, Posted
from .errors import ActorCrashed, AskTimeout, Ignore, Refusal
from .future import Future, why
from .inbox import Ended, Inbox
from .mailbox import Consumer
from .signals import Down, Ignored, Kind, Ready, Recovered, Signal
from .spec import ChildSpec, spent
from .tasks import Tasks

if TYPE_CHECKING:
    from .cell import Cell

PENDING = object()
"""What `Behaviour.start` returns when it will announce itself ready later."""


class Boss(Protocol):
    """Who is told how an incarnation fares: the mailbox of its supervisor, or the system for the root."""

    def signal(self, signal: Signal) -> bool:
        """Take note."""
        ...


class Behaviour(Protocol):
    """What runs inside an incarnation: an actor of a room, or a supervisor."""

    def start(self, incarnation: "Incarnation") -> object:
        """Build and start; the info for Ready, or PENDING."""
        ...

    def on_signal(self, signal: Signal) -> Death | None:
        """Handle a signal; a Death ends the incarnation."""
        ...

    def on_message(self, message: object, future: Future | None) -> object:
        """Handle a message; the value answers an ask, PENDING means that it answers later."""
        ...

    def cleanup(self, death: Death) -> None:
        """Run exactly one of the hooks at the end."""
        ...


class Incarnation(pykka.ThreadingActor):
    """Made and begun by the supervisor's shell; the mailbox is attached in between."""

    use_daemon_thread = True

    def __init__(self, cell: "Cell", spec: ChildSpec, behaviour: Callable[[], Behaviour], boss: Boss) -> None:
        self.cell, self.spec, self.boss = cell, spent(spec), boss
        self.services, self.runtime = cell.services, cell.services.runtime
        self.number = cell.number
        self.consumer = Consumer(self.runtime.parker())
        self.fenced = False
        self.leaving: Death | None = None
        self.message: object = None
        self.future: Future | None = None
        """Who waits for the answer to the current message."""
        self.busy_since = 0.0
        """When the current message began, monotonic seconds; 0 when idle. The watchdog reads it."""
        self.patience_s = spec.patience_s
        """Of the spec, which every scan asks for."""
        self.limit_s: float | None = None
        """Overrides the message's limit: the time for cleanup hooks."""
        self.hung = False
        self.cancel_hook: Callable[[], None] | None = None
        self.started_at = self.runtime.now()
        self.worker: Any = None
        self._tasks: Tasks | None = None
        self._make: Callable[[], Behaviour] | None = behaviour
        self._behaviour: Behaviour | None = None
        self._down_sent = False
        super().__init__()
        self.actor_stopped = self.actor_ref.actor_stopped = Ended()  # type: ignore[assignment]  # see Ended

    def _create_actor_inbox(self) -> Inbox:  # type: ignore[override]  # pykka calls it on the instance; ours needs it
        return Inbox(self)

    def begin(self) -> None:
        """Register with pykka and start the loop: what pykka's own start does, for an instance that exists.

        Raises:
            RuntimeError: the system has no thread left.

        """
        pykka.ActorRegistry.register(self.actor_ref)
        self._start_actor_loop()

    def _start_actor_loop(self) -> None:
        self.services.live[id(self)] = self
        try:
            self.worker = self.runtime.spawn(f"{self.cell.path}#{self.number}", self._actor_loop)
        except BaseException:
            self._unregister()
            raise

    # -- the loop --------------------------------------------------------------------------------------------

    def _actor_loop(self) -> None:
        LOOP.set(self)
        OWNER.set(self)
        death = self._guarded(self._begin, starting=True) or self._guarded(self._serve, starting=False)
        assert death is not None  # serve ends only with a death
        if not self.fenced:
            self._guarded(lambda: self._clean(death), starting=False)
        self._depart(death)

    def _guarded(self, step: Callable[[], Death | None], *, starting: bool) -> Death | None:
        try:
            return step()
        except Ignore as error:
            return Death(Kind.NORMAL, why(error), ignored=True) if starting else death_of(error, starting=False)
        except BaseException as error:  # noqa: BLE001  # nothing may leave this thread: that is the point
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self.report("exit_requested", severity="warning", reason=why(error))
            return death_of(error, starting=starting)

    def _begin(self) -> Death | None:
        make, self._make = self._make, None
        assert make is not None  # an incarnation begins once
        self._behaviour = make()
        make = None
        info = self._behaviour.start(self)
        if info is not PENDING:
            self.ready(info)
        return self.leaving

    def ready(self, info: object) -> None:
        """Tell the supervisor that on_start has returned."""
        if not self.fenced:
            self.tell_boss(Ready(self.spec.id, self.number, info))

    def _serve(self) -> Death:
        behaviour, get, consumer = self._behaviour, self.cell.mailbox.get, self.consumer
        assert behaviour is not None
        while True:
            item = get(consumer)
            if isinstance(item, Signal):
                death = behaviour.on_signal(item)
                if death is not None:
                    return death
            else:
                self._deliver(behaviour, item)
            item = None  # an idle actor holds no message
            if self.leaving is not None:
                return self.leaving

    # -- one message -----------------------------------------------------------------------------------------

    def _deliver(self, behaviour: Behaviour, item: object) -> None:
        future: Future | None = None
        message = item
        if isinstance(item, Envelope):
            message, future = item.message, item.future
            if future is not None and self.runtime.now() > future.deadline:
                future.fail(AskTimeout(self.cell.path, "the ask was late and was not executed"))
                return
        elif isinstance(item, Posted):
            if item.incarnation is not self or not item.token.live:
                return
            message = item.message
        self.message, self.future = message, future
        self.busy_since = self.runtime.now()
        try:
            answer = behaviour.on_message(message, future)
            if future is not None and answer is not PENDING:
                future.resolve(answer)
        except Refusal as refusal:
            if future is None:
                self.report("refused", reason=f"{type(message).__name__}: {why(refusal)}")
            else:
                future.fail(refusal)
        except BaseException as error:
            self._crashed_on(item, message, future, error)
            raise
        self._idle()

    def _idle(self) -> None:
        self.busy_since = 0.0
        self.message = self.future = None
        if self.hung:
            self.hung = False
            self.tell_boss(Recovered(self.spec.id, self.number))

    def _crashed_on(self, item: object, message: object, future: Future | None, error: BaseException) -> None:
        path, mailbox = self.cell.path, self.cell.mailbox
        if self.fenced:
            return
        again = mailbox.spec.redeliver and not isinstance(item, Posted)
        if again:
            envelope = item if isinstance(item, Envelope) else Envelope(message, None, self.runtime.now())
            envelope.crashes += 1
            if envelope.crashes < 2 and self.spec.restart != "temporary":
                mailbox.put_back(envelope)
                return
            self.cell.dead_letter(envelope, ActorCrashed(path, f"poison, crashed twice: {why(error)}"))
        if future is not None:
            future.fail(ActorCrashed(path, f"on {type(message).__name__}: {why(error)}"))

    # -- the end ---------------------------------------------------------------------------------------------

    def _clean(self, death: Death) -> Death | None:
        self.busy_since = self.runtime.now()
        self.limit_s = max(0.1, self.spec.stop_limit_s)
        self.message = death
        behaviour = self._behaviour
        try:
            if behaviour is not None and not death.ignored:
                behaviour.cleanup(death)
        except BaseException as error:  # noqa: BLE001  # a fault in a hook changes nothing about the end
            self.report("hook_failed", severity="error", reason=why(error))
            if not death.traceback:
                death.reason = f"{death.reason} (its hook failed: {why(error)})"
        if self._tasks is not None:
            self._tasks.end(self.services.settings.task_join_s)
        return None

    def _depart(self, death: Death) -> None:
        in_flight = "" if isinstance(self.message, Death) or self.message is None else type(self.message).__name__
        death.forget_cause()
        self.message, self.future, self._behaviour, self.busy_since = None, None, None, 0.0
        undelivered = self.cell.mailbox.detach(self.consumer)
        self._unregister()
        if self.fenced:
            self.services.book.returned(self)
        elif death.ignored:
            self.send_down(Ignored(self.spec.id, self.number))
        else:
            uptime = self.runtime.now() - self.started_at
            self.send_down(
                Down(
                    self.spec.id,
                    self.number,
                    death.kind,
                    death.reason,
                    death.traceback,
                    uptime,
                    in_flight,
                    undelivered,
                )
            )

    def _unregister(self) -> None:
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        self.services.live.pop(id(self), None)

    # -- for the machinery around it -------------------------------------------------------------------------

    @property
    def tasks(self) -> Tasks:
        """Its tasks; made when the first one is needed, most actors have none."""
        if self._tasks is None:
            self._tasks = Tasks(self)
        return self._tasks

    def send_down(self, signal: Signal) -> None:
        """Tell the supervisor of the end, exactly once."""
        if not self._down_sent:
            self._down_sent = True
            self.tell_boss(signal)

    def tell_boss(self, signal: Signal) -> None:
        """Put a signal into the supervisor's system lane."""
        self.boss.signal(signal)

    def fence(self) -> None:
        """From now on it may have no effect; its ask in flight fails."""
        self.fenced = True
        self._down_sent = True

    def refused(self) -> None:
        """It tried to have an effect although it was replaced."""
        self.report("fenced_effect", severity="warning", reason="a replaced incarnation tried to act")

    def report(self, kind: str, *, severity: str = "info", reason: str = "", detail: str = "") -> None:
        """Emit an event about this incarnation."""
        self.services.events.emit(
            self.cell.path, kind, severity=severity, incarnation=self.number, reason=reason, detail=detail
        )
