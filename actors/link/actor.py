"""The link's actor: between the journal and the loop. Holds no socket; a lost connection is a state of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import structlog

from actors.clock import WallClock
from actors.facts import LinkChanged
from actors.journal import messages as journal
from actors.journal.words import fits, unsupported
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed, Terminated
from actors.supervision.tasks import Task
from config.link import LinkSettings
from protocol.flow import Lane
from protocol.messages.base import Command, Message
from protocol.messages.commands import AgentRotate, AgentStatus
from protocol.messages.control import Refused
from protocol.messages.reports import Failure, Inventory, LogLines

from .conversation import Bridge, Conversation
from .identity import IdentityFiles
from .messages import FrameRefused, Got, KeyTaken, Left, LinkStatus, Passed, PeerHas, SessionDown, SessionUp
from .outgoing import Item
from .refusals import SEVERE, Refusals

WINDOW_ROWS = 256
"""Durable messages that may be on their way at a time."""
BATCH_ROWS = 64
JOURNAL_S = 10.0
RETRY_S = 1.0
ROTATE_S = 600.0
"""How long the master may take to learn a new key."""
KEYSET_WARN_DAYS, KEYSET_CRITICAL_DAYS = 30.0, 7.0


@dataclass(frozen=True, slots=True)
class _Pump:
    """To itself: look into the outbox again."""


@dataclass(frozen=True, slots=True)
class _RotateLate:
    """To itself: the master should have the next key by now."""

    command_id: str


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
        self._refusals = Refusals()
        self._rotating = ""
        """The command whose next key the master does not have yet."""
        self._keyset_told: int | None = None
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
            case FrameRefused():
                self._refused(message)
            case KeyTaken() | _RotateLate() | journal.Execute():
                self._own(message)
            case journal.Bulk() | Left():
                self._stream(message)
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
        self._look_at_keyset(up.keyset_expires_ms)
        if self._rotating and self._files.next_key() is not None:
            self._begin_rotation(self._rotating)  # the session in which it was said has ended
        self._pump()

    def _look_at_keyset(self, expires_ms: int) -> None:
        """A keyset that will expire is told of loudly before its day."""
        left = (expires_ms / 1000 - self._wall()) / 86_400
        if not expires_ms or left > KEYSET_WARN_DAYS or int(left) == self._keyset_told:
            return
        self._keyset_told = int(left)
        say = "has expired: no command is taken" if left <= 0 else f"expires in {left:.1f} days"
        text = f"the master's keyset {say}; renew it: mosalama-master keyset renew"
        severity: Literal["warning", "critical"] = "critical" if left <= KEYSET_CRITICAL_DAYS else "warning"
        self._journal.tell(journal.Emit("keyset.expires", severity, "link", text))

    def _refused(self, refused: FrameRefused) -> None:
        text = self._refusals.take(refused, self._wall())
        if text is not None:
            severity: Literal["warning", "critical"] = "critical" if refused.code in SEVERE else "warning"
            self._journal.tell(journal.Emit("link.refused", severity, "link", text, {"code": refused.code}))
        self._observe(self._state)

    def _down(self, down: SessionDown) -> None:
        self._session = 0
        next_try = None if down.next_try_in_s is None else self._wall() + down.next_try_in_s
        self._observe(LinkChanged(down.state, None, self._state.agent_id, self._wall(), down.why, next_try))

    def _observe(self, state: LinkChanged) -> None:
        self._state = state = replace(state, refused=self._refusals.shown())
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

    # -- commands about the link itself ----------------------------------------------------------------------

    def _own(self, message: KeyTaken | _RotateLate | journal.Execute) -> None:
        match message:
            case KeyTaken(kid=kid):
                self._key_taken(kid)
            case _RotateLate(command_id=command_id):
                self._rotate_late(command_id)
            case journal.Execute(command_id=command_id, command=command):
                self._execute(command_id, command)

    def _execute(self, command_id: str, command: Command) -> None:
        self._journal.tell(journal.Running(command_id))
        if isinstance(command, AgentRotate):
            self._begin_rotation(command_id)
        elif isinstance(command, AgentStatus):
            self._journal.tell(journal.Outcome(command_id, "done", None, self._status()))
        else:
            self._journal.tell(journal.Outcome(command_id, "failed", unsupported(command.TYPE)))

    def _status(self) -> dict[str, journal.Value]:
        """What is known of the conversation; everything else is in the reports."""
        state = self._state
        return {
            "version": version("mosalamaagent"),
            "state": state.state,
            "master": state.master,
            "agent_id": state.agent_id,
            "since": state.since,
            "clock_skew_ms": state.clock_skew_ms,
            "label": self._files.label(),
            "key": self._files.key().kid.hex(),
            "refused": tuple(f"{code} {count}" for code, count in state.refused),
        }

    def _begin_rotation(self, command_id: str) -> None:
        """The next key is on disk before the master hears of it; the old one stays until the master has it."""
        key = self._files.begin_rotation(command_id)
        if key is None:
            self._rotated(command_id)
            return
        if self._rotating != command_id:
            self._rotating = command_id
            self.context.after(ROTATE_S, _RotateLate(command_id))
        self._loop.rotate(key)

    def _key_taken(self, kid: bytes) -> None:
        """The master has the next key: one rename makes it ours, and a new session proves it."""
        if not self._files.finish_rotation(kid):
            return
        self._log.info("key.rotated", kid=kid.hex())
        self._loop.drop("the key has changed")
        if self._rotating:
            self._rotated(self._rotating)
        self._rotating = ""

    def _rotated(self, command_id: str) -> None:
        self._journal.tell(journal.Outcome(command_id, "done", None, {"key": self._files.key().kid.hex()}))

    def _rotate_late(self, command_id: str) -> None:
        if self._rotating != command_id:
            return
        self._rotating = ""  # the next key stays: the master may know it, and then it opens the next session
        failure = Failure(
            code="E_BUSY",
            what="the key was not changed yet",
            why=f"the master did not take it in {ROTATE_S:.0f} s",
            do="ask again",
        )
        self._journal.tell(journal.Outcome(command_id, "failed", failure))

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

    # -- streams ---------------------------------------------------------------------------------------------

    def _stream(self, bulk: journal.Bulk | Left) -> None:
        """Into the loop if there is a session; whatever becomes of it, its owner is told."""
        if isinstance(bulk, Left):
            self._left(bulk.items, sent=bulk.sent)
            return
        item = Item(Lane.BULK, bulk.message, session=self._session, owner=bulk.owner)
        if self._session and fits(bulk.message):
            self._loop.put(item)
        else:
            self._left((item,), sent=False)

    def _left(self, items: tuple[Item, ...], *, sent: bool) -> None:
        for item in items:
            chunk = item.message
            if item.owner is None or not isinstance(chunk, LogLines):
                continue
            try:
                item.owner.tell(journal.BulkGone(chunk.stream, chunk.sequence, sent))
            except SupervisionError as error:
                self._log.debug("not_told", to=item.owner.path, why=str(error))

    def _put(self, lane: Lane, message: Message, key: str | None) -> None:
        if self._session:
            self._loop.put(Item(lane, message, key=key))
