"""The answer of an ask: settled exactly once, by a value or an error, whatever happens to the actor."""

from typing import TYPE_CHECKING

from .current import LOOP, waiting
from .errors import ActorError, AskTimeout

if TYPE_CHECKING:
    from .cell import Cell
    from .runtime import Parker, Runtime

_OPEN = object()


class Future:
    """`deadline` is monotonic seconds; it travels with the ask, and an ask that is late is not executed."""

    __slots__ = ("_error", "_lock", "_runtime", "_value", "_waiters", "deadline", "target")

    def __init__(self, runtime: "Runtime", target: "Cell", deadline: float) -> None:
        self._runtime, self.target, self.deadline = runtime, target, deadline
        self._lock = runtime.lock()
        self._value: object = _OPEN
        self._error: BaseException | None = None
        self._waiters: list[Parker] = []

    def done(self) -> bool:
        """Whether it is settled."""
        return self._value is not _OPEN or self._error is not None

    def resolve(self, value: object) -> bool:
        """Settle with a value; False when it already was settled."""
        return self._settle(value, None)

    def fail(self, error: BaseException) -> bool:
        """Settle with an error; False when it already was settled."""
        return self._settle(_OPEN, error.with_traceback(None))

    def result(self, timeout_s: float | None = None) -> object:
        """Wait for the answer, at most until the ask's deadline or for `timeout_s` seconds.

        Raises:
            AskTimeout: no answer in time.
            AskCycle: the actor waits, directly or through others, for this one.
            ActorError: the actor crashed, stopped, hung or was replaced.
            Refusal: the actor's own answer.

        """
        if not self.done():
            self._wait(timeout_s)
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._value

    def _wait(self, timeout_s: float | None) -> None:
        now = self._runtime.now()
        until = self.deadline if timeout_s is None else min(self.deadline, now + timeout_s)
        parker = self._runtime.parker()
        with self._lock:
            if self.done():
                return
            self._waiters.append(parker)
        caller = LOOP.get()
        if caller is None:
            answered = self._park(parker, until)
        else:
            with waiting(caller.cell, self.target):
                answered = self._park(parker, until)
        if not answered:
            raise AskTimeout(self.target.path, f"no answer within {until - now:.3g} s; the work may still be done")

    def _park(self, parker: "Parker", until: float) -> bool:
        while not self.done():
            left = until - self._runtime.now()
            if left <= 0 or not parker.park(left):
                return self.done()
        return True

    def _settle(self, value: object, error: BaseException | None) -> bool:
        with self._lock:
            if self.done():
                return False
            self._error, self._value = error, value
            waiters, self._waiters = self._waiters, []
        for parker in waiters:
            parker.unpark()
        return True


def why(error: BaseException) -> str:
    """An exception as one line, safe for every type."""
    if isinstance(error, ActorError):
        return str(error)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # an exception whose text raises must not raise here
        text = "(no text)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
