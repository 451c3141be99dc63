"""Blocking work off the actor's thread: owned, named, cancelled and joined by the actor that started it."""

import itertools
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from .current import LOOP
from .envelope import Posted, Token
from .future import why
from .messages import TaskDone, TaskFailed

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .runtime import Worker

Cancel = Callable[[], None]


class Task(Token):
    """One piece of work in a thread of its own."""

    __slots__ = ("_cancel", "cancelled", "id", "lingers", "name", "worker")

    def __init__(self, id: int, name: str, cancel: Cancel | None, *, lingers: bool = False) -> None:  # noqa: A002  # the field's name
        super().__init__()
        self.id, self.name, self._cancel, self.lingers = id, name, cancel, lingers
        self.cancelled = False
        self.worker: Worker | None = None

    def cancel(self) -> None:
        """Call the cancel hook, once; the outcome is still posted when the work ends."""
        if self.cancelled:
            return
        self.cancelled = True
        if self._cancel is not None:
            self._cancel()


class Tasks:
    """The tasks of one incarnation."""

    def __init__(self, owner: "Incarnation") -> None:
        self._owner = owner
        self._ids = itertools.count(1)
        self._running: dict[int, Task] = {}

    def start(
        self,
        name: str,
        fn: Callable[..., object],
        args: tuple[object, ...],
        cancel: Cancel | None,
        *,
        lingers: bool = False,
    ) -> Task:
        """Run `fn(*args)` in a thread named after the actor and `name`; `end` does not wait for one that lingers."""
        task = Task(next(self._ids), name, cancel, lingers=lingers)
        self._running[task.id] = task
        owner = self._owner
        try:
            task.worker = owner.runtime.spawn(
                f"{owner.cell.path}#{owner.number}:{name}", lambda: self._run(task, fn, args)
            )
        except RuntimeError:
            del self._running[task.id]
            raise
        return task

    def _run(self, task: Task, fn: Callable[..., object], args: tuple[object, ...]) -> None:
        LOOP.set(None)
        outcome: TaskDone | TaskFailed
        try:
            outcome = TaskDone(task.id, task.name, fn(*args))
        except BaseException as error:  # noqa: BLE001  # a task's fault is a message to its actor
            outcome = TaskFailed(task.id, task.name, type(error).__name__, why(error), traceback.format_exc())
        self._running.pop(task.id, None)
        self._owner.cell.mailbox.post(Posted(outcome, self._owner, task))

    def cancel_all(self) -> None:
        """Call every hook; a hook that raises is an event."""
        for task in list(self._running.values()):
            try:
                task.cancel()
            except BaseException as error:  # noqa: BLE001  # a hook's fault must not stop the others
                self._owner.report("cancel_failed", severity="error", reason=f"{task.name}: {why(error)}")

    def end(self, timeout_s: float) -> None:
        """Cancel and join all, within `timeout_s` seconds together; what still runs is reported by name."""
        running = list(self._running.values())
        if not running:
            return
        self.cancel_all()
        until = self._owner.runtime.now() + timeout_s
        for task in running:
            task.live = False
            if task.lingers:
                continue
            if task.worker is not None and not task.worker.join(max(0.0, until - self._owner.runtime.now())):
                self._owner.report("task_left_behind", severity="warning", reason=task.name)
