"""The behaviour of a supervisor: feeds its core with what happens and carries out what the core decides.

Nothing here blocks: it never asks, joins, sleeps or runs an actor's code.
"""

from typing import TYPE_CHECKING

from . import requests
from .cell import Cell
from .core import Core
from .death import Death
from .effects import (
    Abandon,
    Arm,
    BecomeReady,
    Effect,
    Ended,
    Finish,
    Forget,
    Reply,
    Report,
    Restarting,
    RunCancel,
    SendStop,
    Spawn,
)
from .future import Future, why
from .handle import Handle
from .incarnation import PENDING, Incarnation
from .messages import (
    CountChildren,
    DeleteChild,
    GetSpec,
    ReplaceSpecs,
    RestartChild,
    StartChild,
    StopChild,
    Terminated,
    WhichChildren,
)
from .reaper import abandon, reap, run_cancel
from .signals import Boot, Down, Kind, Probe, Request, Shutdown, Signal, Stop, TimerFired
from .spec import ChildSpec, SupervisorSpec
from .worker import ActorBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from .incarnation import Behaviour, Boss
    from .timers import Timer

CHANGES = (StartChild, StopChild, RestartChild, DeleteChild, ReplaceSpecs)


class SupervisorBehaviour:
    """One incarnation of a supervisor."""

    def __init__(self, spec: SupervisorSpec) -> None:
        self._spec = spec
        self.core: Core
        self._me: Incarnation
        self._cells: dict[str, Cell] = {}
        self._timers: dict[str, Timer] = {}
        """The last timer of each child; it has at most one that counts."""
        self._death: Death | None = None

    # -- what an incarnation calls ---------------------------------------------------------------------------

    def start(self, incarnation: Incarnation) -> object:
        """Begin to boot; Ready follows when every child is."""
        self._me = incarnation
        for child in self._spec.children:
            self._cell(child.id)
        numbers = {name: cell.number for name, cell in self._cells.items()}
        self.core = Core(self._spec, incarnation.runtime.rng(incarnation.cell.path), numbers)
        incarnation.cell.services.supervisors[incarnation.cell.path] = self.core
        self._feed(Boot())
        return PENDING

    def on_signal(self, signal: Signal) -> Death | None:
        """Stop means: everything below first."""
        if isinstance(signal, Probe):
            signal.answer()
        elif isinstance(signal, Stop):
            self._feed(Shutdown(signal.reason))
        else:
            self._feed(signal)
        return self._death

    def on_message(self, message: object, future: Future | None) -> object:
        """Requests of users: those that change something answer when it is done."""
        if isinstance(message, CHANGES):
            asker = future if future is not None else message.reply_to
            number = self._number(message.spec.id) if isinstance(message, StartChild) else 0
            self._feed(Request(message, asker, number))
            self._me.leaving = self._death
            return PENDING
        if isinstance(message, WhichChildren):
            return requests.facts(self.core)
        if isinstance(message, CountChildren):
            return requests.counts(self.core)
        if isinstance(message, GetSpec):
            child = self.core.children.get(message.id)
            return child.spec if child else None
        self._me.report("unknown_message", severity="warning", reason=type(message).__name__)
        return None

    def cleanup(self, death: Death) -> None:
        """After an end by a bug, stop what it leaves behind, so that no orphan runs beside a replacement."""
        self._me.cell.services.supervisors.pop(self._me.cell.path, None)
        if death is not self._death:
            reap(self._me, [cell for cell in self._cells.values() if cell.current is not None])

    # -- the core's effects ----------------------------------------------------------------------------------

    def _feed(self, signal: Signal) -> None:
        for effect in self.core.handle(signal, self._me.runtime.now()):
            self._do(effect)

    def _do(self, effect: Effect) -> None:  # a table of effects
        match effect:
            case Spawn():
                self._spawn(effect.spec, effect.incarnation)
            case SendStop():
                self._cells[effect.id].mailbox.signal(Stop(effect.reason))
            case Arm():
                self._arm(effect)
            case Report():
                self._report(effect)
            case Ended() | Restarting():
                self._ended(effect)
            case Abandon():
                self._abandon(effect)
            case RunCancel():
                self._cancel(effect)
            case Forget():
                self._cells.pop(effect.id, None)
                self._disarm(effect.id)
            case Reply():
                _answer(effect)
            case BecomeReady():
                self._me.ready(None)
            case Finish():
                cause = f"{effect.failed}: {effect.cause}" if effect.failed else effect.cause
                self._death = Death(effect.kind, cause)
            case _:
                raise AssertionError(effect)

    def _spawn(self, spec: ChildSpec, number: int) -> None:
        cell = self._cell(spec.id)
        cell.number = number
        cell.revive()
        try:
            launch(cell, spec, self._me.cell.mailbox)
        except RuntimeError as error:
            cell.current = None
            self._me.cell.mailbox.signal(Down(spec.id, number, Kind.START_FAILED, why(error)))

    def _arm(self, arm: Arm) -> None:
        mailbox = self._me.cell.mailbox
        fired = TimerFired(arm.id, arm.due, arm.epoch)
        self._disarm(arm.id)
        self._timers[arm.id] = self._me.services.timers.after(arm.delay_s, lambda _: mailbox.signal(fired))

    def _disarm(self, name: str) -> None:
        superseded = self._timers.pop(name, None)
        if superseded is not None:
            superseded.cancel()

    def _report(self, report: Report) -> None:
        path = f"{self._me.cell.path}/{report.id}" if report.id else self._me.cell.path
        self._me.services.events.emit(
            path,
            report.kind,
            severity=report.severity,
            incarnation=report.incarnation,
            reason=report.reason,
            detail=report.detail,
            next_try_s=report.next_try_s,
        )

    def _ended(self, effect: Ended | Restarting) -> None:
        cell = self._cells[effect.id]
        cell.current = None
        final = isinstance(effect, Ended)
        if final:
            cell.mailbox.close(f"ended ({effect.kind})")
        else:
            cell.mailbox.hold()
        cell.announce(Terminated(cell.path, effect.incarnation, str(effect.kind), final, effect.reason))

    def _abandon(self, effect: Abandon) -> None:
        cell = self._cells[effect.id]
        left = cell.current
        cell.current = None
        if left is None or left.number != effect.incarnation:
            return
        abandon(left, effect.why)

    def _cancel(self, effect: RunCancel) -> None:
        wedged = self._cells[effect.id].current
        if wedged is not None and wedged.number == effect.incarnation:
            run_cancel(wedged)

    # -- small things ----------------------------------------------------------------------------------------

    def _cell(self, name: str) -> Cell:
        cell = self._cells.get(name)
        if cell is None:
            cell = self._cells[name] = self._me.cell.services.cell(f"{self._me.cell.path}/{name}")
        return cell

    def _number(self, name: str) -> int:
        found = self._me.cell.services.cells.get(f"{self._me.cell.path}/{name}")
        return found.number if found is not None else 0


def launch(cell: Cell, spec: ChildSpec, boss: "Boss") -> Incarnation:
    """Start the next incarnation of a cell; its mailbox opens for it.

    Raises:
        RuntimeError: the system has no thread left.

    """
    factory = spec.factory
    make: Callable[[], Behaviour]
    if isinstance(factory, SupervisorSpec):
        supervisor = factory
        make = lambda: SupervisorBehaviour(supervisor)  # noqa: E731  # a closure over a narrowed type
    else:
        actor = factory
        make = lambda: ActorBehaviour(actor)  # noqa: E731  # see above
    incarnation = Incarnation(cell, spec, make, boss)
    cell.current = incarnation
    cell.mailbox.attach(incarnation.consumer, spec.mailbox)
    incarnation.begin()
    return incarnation


def _answer(effect: Reply) -> None:
    asker = effect.asker
    if isinstance(asker, Future):
        asker.resolve(effect.reply)
    elif isinstance(asker, Handle):
        asker.cell.mailbox.post(effect.reply)
