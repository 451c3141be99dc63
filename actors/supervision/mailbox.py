"""The mailbox of a cell outlives incarnations. A message is delivered, failed or a dead letter, never lost.

Two lanes under one lock, so that "closed" and "enqueued" exclude each other: the system lane first,
unbounded, for signals only; the user lane bounded. The consumer is whoever is attached; anyone else is
fenced.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import ActorError, ActorRestarting, ActorStopped, Fenced, MailboxFull
from .spec import MailboxSpec, OnRestart, Overflow

if TYPE_CHECKING:
    from .envelope import Envelope
    from .runtime import Parker, Runtime
    from .signals import Signal

DeadLetter = Callable[[object, ActorError], None]
"""Told of a message that will not be delivered, and why; fails the future of an ask."""


class Consumer:
    """Who takes from a mailbox, and where it waits."""

    __slots__ = ("parker",)

    def __init__(self, parker: "Parker") -> None:
        self.parker = parker


class Mailbox:
    """`put` from anywhere, `get` from the attached consumer, the rest from the supervisor's shell."""

    __slots__ = (
        "_closed",
        "_consumer",
        "_lock",
        "_producers",
        "_refusing",
        "_runtime",
        "_system",
        "_user",
        "_waiting",
        "dead",
        "path",
        "spec",
    )

    def __init__(self, path: str, spec: MailboxSpec, runtime: "Runtime", dead: DeadLetter) -> None:
        self.path, self.spec, self.dead = path, spec, dead
        self._runtime = runtime
        self._lock = runtime.lock()
        self._system: list[Signal] = []  # short, and an empty deque takes 0.6 KiB
        self._user: deque[object] = deque()
        self._consumer: Consumer | None = None
        self._waiting: Parker | None = None
        self._producers: list[Parker] = []
        self._closed: str = ""
        self._refusing = False

    def __len__(self) -> int:
        """How many messages of users wait."""
        return len(self._user)

    @property
    def closed(self) -> str:
        """Why it takes no message; empty when it does."""
        return self._closed

    def put(self, item: object) -> None:
        """Queue a message of a user, within the capacity.

        Raises:
            ActorStopped: the actor has ended.
            ActorRestarting: it is being restarted and keeps nothing meanwhile.
            MailboxFull: the capacity is used up.

        """
        dropped = None
        with self._lock:
            if self._closed:
                raise ActorStopped(self.path, self._closed)
            if self._refusing:
                raise ActorRestarting(self.path, "being restarted; its mailbox keeps nothing meanwhile")
            if len(self._user) >= self.spec.capacity:
                if self.spec.overflow is not Overflow.DROP_OLDEST:
                    raise MailboxFull(self.path, f"{len(self._user)} messages wait, the most its spec allows")
                dropped = self._user.popleft()
            self._user.append(item)
            parker, self._waiting = self._waiting, None
        if parker is not None:
            parker.unpark()
        if dropped is not None:
            self.dead(dropped, MailboxFull(self.path, "dropped for a newer one"))

    def put_patiently(self, item: object, wait_s: float) -> None:
        """Like put, but waits up to `wait_s` seconds for room."""
        until = self._runtime.now() + wait_s
        while True:
            parker = self._runtime.parker()
            with self._lock:
                self._producers.append(parker)
            try:
                return self.put(item)
            except MailboxFull:
                if not parker.park(until - self._runtime.now()):
                    raise
            finally:
                with self._lock:
                    if parker in self._producers:
                        self._producers.remove(parker)

    def post(self, item: object) -> bool:
        """Queue what the machinery owes the actor (timers, task results, notices), whatever the capacity."""
        with self._lock:
            if self._closed:
                return False
            self._user.append(item)
            parker, self._waiting = self._waiting, None
        if parker is not None:
            parker.unpark()
        return True

    def signal(self, signal: "Signal") -> bool:
        """Queue a signal in the system lane; False when nobody is attached to hear it."""
        with self._lock:
            if self._consumer is None:
                return False
            self._system.append(signal)
            parker, self._waiting = self._waiting, None
        if parker is not None:
            parker.unpark()
        return True

    def get(self, consumer: Consumer) -> object:
        """Wait for the next signal or else the next message.

        Raises:
            Fenced: someone else is attached now.

        """
        parker = consumer.parker
        while True:
            with self._lock:
                if self._consumer is not consumer:
                    raise Fenced(self.path, "replaced")
                if self._system:
                    return self._system.pop(0)
                if self._user:
                    item = self._user.popleft()
                    if self._producers:
                        self._producers.pop(0).unpark()
                    return item
                self._waiting = parker
            parker.park(None)

    def signals(self, consumer: Consumer, timeout_s: float) -> "Signal | None":
        """Wait for the next signal only; None when `timeout_s` passed."""
        until = self._runtime.now() + timeout_s
        while True:
            with self._lock:
                if self._consumer is not consumer:
                    raise Fenced(self.path, "replaced")
                if self._system:
                    return self._system.pop(0)
                self._waiting = consumer.parker
            left = until - self._runtime.now()
            if left <= 0 or not consumer.parker.park(left):
                return None

    def attach(self, consumer: Consumer, spec: MailboxSpec) -> None:
        """Open for this consumer; the one before is fenced. Signals for it are forgotten."""
        with self._lock:
            self.spec, self._consumer = spec, consumer
            self._closed, self._refusing = "", False
            self._system.clear()
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.unpark()

    def detach(self, consumer: Consumer) -> int:
        """The consumer has gone; messages are kept until someone decides. How many wait."""
        with self._lock:
            if self._consumer is consumer:
                self._consumer = None
                self._system.clear()
            return len(self._user)

    def hold(self) -> None:
        """Apply the restart policy to what waits: keep it, fail it, or drop what is stale."""
        policy = self.spec.on_restart
        if policy is OnRestart.KEEP:
            return
        with self._lock:
            self._refusing = policy is OnRestart.FAIL
            oldest = self._runtime.now() - self.spec.stale_after_s
            keep = [policy is OnRestart.DROP_STALE and _at(item) >= oldest for item in self._user]
            gone = [item for item, kept in zip(self._user, keep, strict=True) if not kept]
            self._user = deque(item for item, kept in zip(self._user, keep, strict=True) if kept)
        for item in gone:
            self.dead(item, ActorRestarting(self.path, "being restarted; its mailbox keeps nothing meanwhile"))

    def put_back(self, envelope: "Envelope") -> None:
        """Queue a message at the front again."""
        with self._lock:
            if not self._closed:
                self._user.appendleft(envelope)

    def close(self, why: str) -> int:
        """Take no more; what waits becomes dead letters. How many there were."""
        with self._lock:
            self._closed, self._consumer = why, None
            gone, self._user = self._user, deque()
            self._system.clear()
            producers, self._producers = self._producers, []
            waiting, self._waiting = self._waiting, None
        for parker in (*producers, *([waiting] if waiting else [])):
            parker.unpark()
        for item in gone:
            self.dead(item, ActorStopped(self.path, why))
        return len(gone)


def _at(item: object) -> float:
    return getattr(item, "at", float("inf"))
