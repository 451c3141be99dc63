"""The link's actor: between the journal and the loop. Holds no socket; a lost connection is a state of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from actors.clock import WallClock
from actors.facts import LinkChanged
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed, Terminated
from actors.supervision.tasks import Task
from config.link import LinkSettings
from protocol.messages.base import Message
from protocol.messages.control import Refused
from protocol.messages.reports import Inventory

from .identity import IdentityFiles
from .loop import Bridge, Conversation
from .messages import Got, LinkStatus, Passed, PeerHas, SessionDown, SessionUp
from .outgoing import Item, Lane

WINDOW_ROWS = 256
"""Durable messages that may be on their way at a time."""
BATCH_ROWS = 64
JOURNAL_S = 10.0
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Pump:
    """To itself: look into the outbox again."""


class LinkActor(Actor):
    """Brings commands to the journal and the journal's outbox to the master."""

    def __init__(
        self,
        *,
        settings: LinkSettings,
        state_dir: Path,
        journal_handle: Handle,
        observers: tuple[Handle, ...],
        inventory: Callable[[], Inventory],
        conversation: Callable[[LinkSettings, Bridge, int], Conversation],
        wall: WallClock,
    ) -> None:
        self._settings, self._journal, self._observers = settings, journal_handle, observers
        self._inventory, self._wall, self._conversation = inventory, wall, conversation
        self._files = IdentityFiles(state_dir)
        self._session = 0
        self._given = 0
        """The offset of the master's stream that the journal was given last."""
        self._sent = 0
        self._has = 0
        self._pumping = False
        self._state = LinkChanged("unenrolled")
        self._task: Task | None = None
        self._log = structlog.get_logger().bind(actor="link")

    def on_start(self) -> object:
        """Start the loop; without a master there is nothing to talk to, and that is fine."""
        if not self._settings.masters:
            self._observe(LinkChanged("unenrolled", last_error="no master is configured"))
            return None
        received = self._journal.call(journal.ReadReceived(), timeout_s=JOURNAL_S)
        assert isinstance(received, int)
        bridge = Bridge(self._tell_self, self._wall, self._inventory, self._files, self.context.rng)
        self._loop = self._conversation(self._settings, bridge, received)
        self.context.watch(self._journal, each=True)
        self._task = self.context.task("loop", self._loop.run, cancel=self._loop.stop)
        return None

    def _tell_self(self, message: object) -> None:
        try:
            self.context.handle.tell(message)
        except SupervisionError:
            self._log.warning("link.mailbox", lost=type(message).__name__)

    def on_message(self, message: object) -> object:
        """One message of the loop, the journal or a room."""
        match message:
            case SessionUp():
                self._up(message)
            case SessionDown():
                self._down(message)
            case Got():
                self._got(message)
            case Passed():
                self._passed(message)
            case PeerHas():
                self._peer_has(message)
            case Terminated():
                self._loop.drop("the journal was begun anew")  # what it was given last may be lost
            case journal.Accepted(offset=offset):
                self._acknowledge(offset)
            case journal.NotAccepted():
                self._not_accepted(message)
            case journal.OutboxReady() | _Pump():
                self._pump()
            case journal.Volatile(key=key, message=content):
                self._put(Lane.FIGURES, content, key)
            case LinkStatus():
                return self._state
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"the link's loop ended: {message}")
            case _:
                self.context.unhandled(message)
        return None

    # -- sessions --------------------------------------------------------------------------------------------

    def _up(self, up: SessionUp) -> None:
        # What the master says it has may be more than it got: such rows are sent (again), and it skips what it has.
        self._session, self._sent, self._has = up.session, up.believed_offset, up.believed_offset
        self._given = up.own_offset
        self._journal.tell(journal.Resume(up.received_offset, up.believed_offset))
        self._observe(
            LinkChanged("connected", up.master, up.agent_id, self._wall(), "", None, clock_skew_ms=up.skew_ms)
        )
        self._pump()

    def _down(self, down: SessionDown) -> None:
        self._session = 0
        next_try = None if down.next_try_in_s is None else self._wall() + down.next_try_in_s
        self._observe(LinkChanged(down.state, None, self._state.agent_id, self._wall(), down.why, next_try))

    def _observe(self, state: LinkChanged) -> None:
        self._state = state
        for handle in self._observers:
            try:
                handle.tell(state)
            except SupervisionError as error:
                self._log.debug("not_told", to=handle.path, why=str(error))

    # -- commands --------------------------------------------------------------------------------------------

    def _got(self, got: Got) -> None:
        if got.session != self._session:
            return  # it comes again with the next session
        signed = got.commanded.signed
        expired = signed.expired(got.at_ms)
        self._log.info("command.received", command_id=signed.command_id, command=signed.command.TYPE)
        offset = got.commanded.offset
        self._journal.tell(journal.Accept(signed, offset, expired, self.context.handle, self._given))
        self._given = self._given if offset is None else offset

    def _passed(self, passed: Passed) -> None:
        if passed.session == self._session:
            self._journal.tell(journal.Passed(passed.offset, self._given, self.context.handle))
            self._given = passed.offset

    def _acknowledge(self, offset: int | None) -> None:
        if offset is not None:
            self._loop.acknowledge(offset)

    def _not_accepted(self, refused: journal.NotAccepted) -> None:
        self._acknowledge(refused.offset)
        if refused.offset is None:
            # What is not on disk must come again, and nothing after it may be acknowledged before.
            self._loop.drop(f"a command was not kept: {refused.detail}"[:200])
        self._log.warning("command.not_accepted", command_id=refused.command_id, code=refused.code, why=refused.detail)
        if not refused.command_id:
            return
        message = Refused(
            code=refused.code,
            retry="later" if refused.later else "no",
            detail=refused.detail[:200],
            field=refused.command_id,
        )
        self._put(Lane.CONTROL, message, None)

    # -- the outbox ------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Put what the master does not have into the loop, at most a window of it at a time."""
        if not self._session or self._sent - self._has >= WINDOW_ROWS:
            return
        try:
            rows = self._journal.call(journal.ReadOutbox(self._sent, BATCH_ROWS), timeout_s=JOURNAL_S)
        except SupervisionError as error:
            self._log.warning("outbox.not_read", why=str(error))
            self.context.after(RETRY_S, _Pump())
            return
        assert isinstance(rows, tuple)
        for row in rows:
            self._loop.put(Item(Lane.STATE, row.message, row.message_id, row.offset, session=self._session))
            self._sent = row.offset
        if len(rows) == BATCH_ROWS:
            self._tell_self(_Pump())

    def _peer_has(self, peer: PeerHas) -> None:
        if peer.session == self._session and peer.offset > self._has:
            self._has = peer.offset
            self._journal.tell(journal.Acknowledged(peer.offset))
            self._pump()

    def _put(self, lane: Lane, message: Message, key: str | None) -> None:
        if self._session:
            self._loop.put(Item(lane, message, key=key))
