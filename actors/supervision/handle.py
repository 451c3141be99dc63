"""The handle: how everyone else reaches an actor. It survives restarts, and may be kept and compared."""

from typing import TYPE_CHECKING

from .current import LOOP, check_cycle, check_fence
from .envelope import Envelope
from .errors import ActorStopped, AskCycle
from .future import Future
from .spec import OnRestart, Overflow

if TYPE_CHECKING:
    from .cell import Cell

ASK_TIMEOUT_S = 5.0


class Handle:
    """Address of one actor by its path."""

    __slots__ = ("_cell", "path")

    def __init__(self, cell: "Cell") -> None:
        self._cell, self.path = cell, cell.path

    def __repr__(self) -> str:
        return f"Handle({self.path})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def cell(self) -> "Cell":
        """For the machinery of this room."""
        return self._cell

    def tell(self, message: object) -> None:
        """Queue a message; no answer.

        Raises:
            MailboxFull: its capacity is used up.
            ActorStopped: it has ended and no restart is planned.
            Fenced: the caller was replaced.

        """
        check_fence()
        mailbox = self._cell.mailbox
        spec = mailbox.spec
        if spec.on_restart is OnRestart.DROP_STALE:
            message = Envelope(message, None, self._cell.runtime.now())
        if spec.overflow is Overflow.BLOCK and LOOP.get() is None:
            mailbox.put_patiently(message, spec.block_s)
        else:
            mailbox.put(message)

    def ask(self, message: object, *, timeout_s: float = ASK_TIMEOUT_S) -> Future:
        """Queue a message and promise its answer. Expired asks are dropped unexecuted.

        Raises:
            AskCycle: the actor is the caller itself, or waits for it, or is its supervisor or child.
            MailboxFull: its capacity is used up.
            Fenced: the caller was replaced.

        """
        check_fence()
        caller = LOOP.get()
        if caller is not None:
            _check_direction(caller.cell, self._cell)
        runtime = self._cell.runtime
        now = runtime.now()
        future = Future(runtime, self._cell, now + timeout_s)
        try:
            self._cell.mailbox.put(Envelope(message, future, now))
        except ActorStopped as error:
            future.fail(error)
        return future

    def call(self, message: object, *, timeout_s: float = ASK_TIMEOUT_S) -> object:
        """Ask and wait for the answer; raises what `Future.result` raises."""
        return self.ask(message, timeout_s=timeout_s).result(timeout_s)


def _check_direction(caller: "Cell", target: "Cell") -> None:
    if caller is target:
        raise AskCycle(caller.path, "an actor cannot wait for itself")
    for upper, lower in ((caller.path, target.path), (target.path, caller.path)):
        if lower.startswith(upper + "/"):
            raise AskCycle(caller.path, f"a supervisor and what is below it only tell each other ({upper}, {lower})")
    check_cycle(caller, target)
