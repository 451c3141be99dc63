"""The cell: the durable identity of a child. Path, mailbox and watchers outlive every incarnation."""

from typing import TYPE_CHECKING

from .envelope import Envelope, Posted, Token, content
from .errors import ActorError
from .mailbox import Mailbox
from .messages import Terminated
from .spec import MailboxSpec

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .runtime import Runtime
    from .services import Services


class Watch(Token):
    """One actor's interest in the end of another."""

    __slots__ = ("each", "watcher")

    def __init__(self, watcher: "Incarnation", *, each: bool) -> None:
        super().__init__()
        self.watcher, self.each = watcher, each


class Cell:
    """What a Handle points to. `current` is the incarnation that may act; everyone else is fenced."""

    __slots__ = (
        "__weakref__",
        "_lock",
        "_watches",
        "current",
        "ended",
        "mailbox",
        "number",
        "path",
        "services",
        "waits_for",
    )

    def __init__(self, path: str, services: "Services") -> None:
        self.path, self.services = path, services
        self.number = 0
        """The last incarnation's number."""
        self.current: Incarnation | None = None
        self.waits_for: Cell | None = None
        self.ended: Terminated | None = None
        """How it ended for good; None while it runs or will be restarted."""
        self.mailbox = Mailbox(path, MailboxSpec(), services.runtime, self.dead_letter)
        self._watches: list[Watch] = []
        self._lock = services.runtime.lock()

    @property
    def runtime(self) -> "Runtime":
        """The runtime of its system."""
        return self.services.runtime

    def dead_letter(self, item: object, error: ActorError) -> None:
        """Fail an ask that will not be answered; report what will not be delivered."""
        if isinstance(item, Posted):
            return
        if isinstance(item, Envelope) and item.future is not None:
            item.future.fail(error)
        self.services.events.emit(
            self.path,
            "dead_letter",
            severity="warning",
            reason=error.why,
            detail=type(content(item)).__name__,
        )

    def watch(self, watcher: "Incarnation", *, each: bool) -> Watch:
        """Tell `watcher` once when this ends; at once if it has ended already."""
        watch = Watch(watcher, each=each)
        with self._lock:
            ended = self.ended
            if ended is None:
                self._watches.append(watch)
        if ended is not None:
            watcher.cell.mailbox.post(Posted(ended, watcher, watch))
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Take a watch back; suppresses a notice that is already under way."""
        watch.live = False
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def revive(self) -> None:
        """It runs, or is about to."""
        with self._lock:
            self.ended = None

    def announce(self, notice: Terminated) -> None:
        """Tell the watchers: all of them when it is final, else those that want each death."""
        with self._lock:
            if notice.final:
                self.ended = notice
                watches, self._watches = self._watches, []
            else:
                watches = [watch for watch in self._watches if watch.each]
        for watch in watches:
            watch.watcher.cell.mailbox.post(Posted(notice, watch.watcher, watch))
