"""What an actor may use of its surroundings: one for each incarnation, for the actor's own thread.

`effect` and `now` may be called by its tasks, too.

"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .current import check_fence
from .death import Death
from .envelope import Posted
from .errors import Fenced
from .flag import Flag
from .handle import Handle
from .signals import Kind
from .tasks import Task
from .timers import Timer

if TYPE_CHECKING:
    import random

    from .cell import Watch
    from .incarnation import Incarnation


class Context:
    """Path, time, timers, tasks, death watch and the fence of one incarnation."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self.path = incarnation.cell.path
        self.incarnation = incarnation.number
        self.handle = Handle(incarnation.cell)
        self._rng: random.Random | None = None
        self._watches: dict[Handle, Watch] = {}

    @property
    def rng(self) -> "random.Random":
        """A generator of this incarnation's own; equal seeds of the system give equal sequences."""
        if self._rng is None:
            self._rng = self._incarnation.runtime.rng(f"{self.path}#{self.incarnation}")
        return self._rng

    def now(self) -> float:
        """Monotonic seconds."""
        return self._incarnation.runtime.now()

    def after(self, delay_s: float, message: object) -> Timer:
        """Post `message` to this actor in `delay_s` seconds; a later incarnation does not get it."""
        incarnation = self._incarnation
        mailbox = incarnation.cell.mailbox
        return incarnation.services.timers.after(
            delay_s, lambda timer: mailbox.post(Posted(message, incarnation, timer))
        )

    def task(
        self,
        name: str,
        fn: Callable[..., object],
        *args: object,
        cancel: Callable[[], None] | None = None,
        lingers: bool = False,
    ) -> Task:
        """Run blocking work in a thread that this actor owns; TaskDone or TaskFailed comes as a message.

        `cancel` is called by Task.cancel(), and when the actor stops, crashes or hangs; it must make `fn`
        return soon, and may be called from another thread. Nobody waits for one that `lingers`: a wait that
        cannot be broken off, has an end of its own, and has no effect after it.

        Raises:
            RuntimeError: the system has no thread left.

        """
        check_fence()
        return self._incarnation.tasks.start(name, fn, args, cancel, lingers=lingers)

    def flag(self) -> Flag:
        """A new flag for a task: its cancellation, its waits and its clock."""
        return Flag(self._incarnation.runtime)

    def lock(self) -> AbstractContextManager[object]:
        """A new lock for what tasks share; nobody may wait for anything else while holding it."""
        return self._incarnation.runtime.lock()

    def watch(self, handle: Handle, *, each: bool = False) -> None:
        """Get one Terminated when that actor ends for good (with `each`, at every death)."""
        self.unwatch(handle)
        self._watches[handle] = handle.cell.watch(self._incarnation, each=each)

    def unwatch(self, handle: Handle) -> None:
        """Take a watch back; no notice comes after this."""
        watch = self._watches.pop(handle, None)
        if watch is not None:
            handle.cell.unwatch(watch)

    def stop(self, reason: str = "done") -> None:
        """End in good order after the current message: a transient or temporary child stays down."""
        self._incarnation.leaving = Death(Kind.NORMAL, reason)

    def effect(self) -> None:
        """Call before an external side effect.

        Raises:
            Fenced: this incarnation was replaced; do nothing.

        """
        if self._incarnation.fenced:
            self._incarnation.refused()
            raise Fenced(self.path, f"incarnation {self.incarnation} was replaced and may have no effect")

    def on_cancel(self, hook: Callable[[], None] | None) -> None:
        """The hook that frees this actor's own thread when a message takes too long; None takes it back."""
        self._incarnation.cancel_hook = hook

    def unhandled(self, message: object) -> None:
        """Report a message that the actor does not know."""
        self._incarnation.report("unknown_message", severity="warning", reason=type(message).__name__)
