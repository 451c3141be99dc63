"""Stand-ins for what an actor gets from supervision: drive `on_message` on the plain object, without threads.

`context = FakeContext(actor)` gives the actor its context. Timers are due with `advance`, tasks run with
`run_tasks`; both hand their messages to the actor and return them. `FakeHandle` records what it is told.
"""

import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.supervision.actor import Actor
from actors.supervision.errors import Fenced
from actors.supervision.flag import Flag
from actors.supervision.messages import TaskDone, TaskFailed
from actors.supervision.threads import ThreadRuntime


class FakeFuture:
    """Settled from the start."""

    def __init__(self, value: object = None, error: BaseException | None = None) -> None:
        self._value, self._error = value, error

    def done(self) -> bool:
        return True

    def result(self, timeout_s: float | None = None) -> object:
        if self._error is not None:
            raise self._error
        return self._value


class FakeHandle:
    """Records `told` and `asked`; `fails` is raised by tell, `answer` makes the answers of asks."""

    def __init__(self, path: str = "/root/fake", answer: Callable[[object], object] | None = None) -> None:
        self.path = path
        self.told: list[object] = []
        self.asked: list[object] = []
        self.fails: BaseException | None = None
        self.answer = answer or (lambda message: None)

    def tell(self, message: object) -> None:
        if self.fails is not None:
            raise self.fails
        self.told.append(message)

    def ask(self, message: object, *, timeout_s: float = 5.0) -> FakeFuture:
        self.asked.append(message)
        try:
            return FakeFuture(self.answer(message))
        except Exception as error:
            return FakeFuture(error=error)

    def call(self, message: object, *, timeout_s: float = 5.0) -> object:
        return self.ask(message, timeout_s=timeout_s).result(timeout_s)

    def take(self) -> list[object]:
        """What was told since the last take."""
        told, self.told = self.told, []
        return told


@dataclass(eq=False)
class FakeTimer:
    due_at: float
    message: object
    live: bool = True

    def cancel(self) -> None:
        self.live = False


@dataclass(eq=False)
class FakeTask:
    id: int
    name: str
    fn: Callable[..., object]
    args: tuple[object, ...]
    hook: Callable[[], None] | None
    cancelled: bool = False

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            if self.hook is not None:
                self.hook()


@dataclass(eq=False)
class FakeContext:
    """The interface of actors.supervision.context.Context, in the test's own thread."""

    actor: Actor | None = None
    path: str = "/root/fake"
    incarnation: int = 1
    seed: int = 0
    timers: list[FakeTimer] = field(default_factory=list)
    tasks: list[FakeTask] = field(default_factory=list)
    watched: list[object] = field(default_factory=list)
    unknown: list[object] = field(default_factory=list)
    stopped: str | None = None
    fenced: bool = False
    cancel_hook: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.handle = FakeHandle(self.path)
        self.rng = random.Random(self.seed)
        self._now = 1000.0
        self._ids = 0
        if self.actor is not None:
            self.actor.context = self  # type: ignore[assignment]  # the same interface, not the same class

    # -- what an actor calls -------------------------------------------------------------------

    def now(self) -> float:
        return self._now

    def after(self, delay_s: float, message: object) -> FakeTimer:
        timer = FakeTimer(self._now + max(0.0, delay_s), message)
        self.timers.append(timer)
        return timer

    def task(self, name: str, fn: Callable[..., object], *args: object, cancel=None, lingers: bool = False) -> FakeTask:
        self.effect()
        self._ids += 1
        task = FakeTask(self._ids, name, fn, args, cancel)
        self.tasks.append(task)
        return task

    def flag(self) -> Flag:
        return Flag(ThreadRuntime())

    def lock(self) -> object:
        return threading.Lock()

    def watch(self, handle: object, *, each: bool = False) -> None:
        self.watched.append(handle)

    def unwatch(self, handle: object) -> None:
        if handle in self.watched:
            self.watched.remove(handle)

    def stop(self, reason: str = "done") -> None:
        self.stopped = reason

    def effect(self) -> None:
        if self.fenced:
            raise Fenced(self.path, "replaced")

    def on_cancel(self, hook: Callable[[], None] | None) -> None:
        self.cancel_hook = hook

    def unhandled(self, message: object) -> None:
        self.unknown.append(message)

    # -- what a test calls ---------------------------------------------------------------------

    def advance(self, delay_s: float) -> list[object]:
        """Let time pass; timers fire in order, each at its own moment, also those armed meanwhile."""
        until, fired = self._now + delay_s, []
        while due := [timer for timer in self.timers if timer.live and timer.due_at <= until]:
            timer = min(due, key=lambda other: other.due_at)
            self.timers.remove(timer)
            self._now = max(self._now, timer.due_at)
            fired.append(timer.message)
            self._deliver(timer.message)
        self.timers = [timer for timer in self.timers if timer.live]
        self._now = until
        return fired

    def run_tasks(self) -> list[object]:
        """Run every task that waits, those of other tasks' outcomes too; what each posted, in order."""
        posted = []
        while self.tasks:
            posted.append(self._run(self.tasks.pop(0)))
        return posted

    def run_task(self, name: str) -> object:
        """Run the first task of this name alone; what it posted."""
        task = next(task for task in self.tasks if task.name == name)
        self.tasks.remove(task)
        return self._run(task)

    def _run(self, task: FakeTask) -> object:
        try:
            outcome: object = TaskDone(task.id, task.name, task.fn(*task.args))
        except BaseException as error:
            text = traceback.format_exc()
            outcome = TaskFailed(task.id, task.name, type(error).__name__, f"{type(error).__name__}: {error}", text)
        self._deliver(outcome)
        return outcome

    def deliver_told(self) -> list[object]:
        """Hand the actor what it told itself through context.handle."""
        told = self.handle.take()
        for message in told:
            self._deliver(message)
        return told

    def _deliver(self, message: object) -> None:
        if self.actor is not None:
            self.actor.on_message(message)
