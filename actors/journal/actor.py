"""The journal's actor: everything that waits in its mailbox is one commit; nothing is said before it returned."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from actors.clock import WallClock, milliseconds
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from config.journal import JournalSettings
from protocol.command import SignedCommand, unseal_trusted
from protocol.errors import ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.messages.base import Command, Message
from protocol.messages.commands import EngineStop
from protocol.messages.reports import CommandAccepted, CommandResult, Event, Failure

from . import messages as say
from . import reading, words
from .errors import JournalCorruptError
from .group_commit import GroupCommit, Write
from .mass_stop import Stops
from .store import JournalStore, quarantine

OUTBOX_FULL = "too many results wait for the master"
HOLE = "an earlier command is not on disk"
FORGET_EVERY_MS = 3_600_000
"""Between two looks for commands that are old enough to be forgotten: each reads the whole ledger."""


@dataclass(frozen=True, slots=True)
class _Commit:
    """To itself: everything that came before this is one transaction."""


class JournalActor(Actor):
    """Owns the file. `routes`: a command's word, or its first part, -> the actor that carries it out."""

    def __init__(
        self,
        *,
        file: Path,
        settings: JournalSettings,
        routes: Mapping[str, Handle],
        link: Handle,
        wall: WallClock,
        opened: Callable[[Path], JournalStore] = JournalStore.open,
    ) -> None:
        self._file, self._settings, self._routes, self._link, self._wall = file, settings, routes, link, wall
        self._opened, self._stops = opened, Stops(settings)
        self._forgot_ms = 0
        self._log = structlog.get_logger().bind(actor="journal")

    # -- life ------------------------------------------------------------------------------------------------

    def on_start(self) -> object:
        """Open the file, and bring what was accepted before to its owners again."""
        note = ""
        try:
            self._store = self._opened(self._file)
        except JournalCorruptError as error:
            aside = quarantine(self._file, str(self._now_ms()))
            self._store = self._opened(self._file)
            note = f"{error}; kept as {aside.name}; saved: {self._store.salvage(aside)}"
        self._writes = GroupCommit(self._store, self._settings.retry_s, self._commit_after)
        if note:
            self._emit(say.Emit("journal.damaged", "critical", "journal", note))
        self._tell_again()
        return None

    def _tell_again(self, family: str = "") -> None:
        """Bring what has not ended to its owners, in the order it was accepted; they know what they did already."""
        for command_id, word, envelope, state in self._store.open_commands():
            if not family or family in {word, word.partition(".")[0]}:
                self._again(command_id, word, envelope, state)

    def _again(self, command_id: str, word: str, envelope: bytes, state: str) -> None:
        self._log.info("command.again", command_id=command_id, command=word, state=state)
        try:
            signed = unseal_trusted(command_id, envelope)
        except (ProtocolError, ValueError, TypeError) as error:
            self._outcome(say.Outcome(command_id, "failed", words.unreadable(word, str(error))))
        else:
            self._dispatch(signed)

    def on_stop(self, reason: str) -> None:
        """Write what waits, then close."""
        del reason
        self._writes.commit()
        self._store.close()

    def on_crash(self, cause: BaseException) -> None:
        """Close without writing: what was not acknowledged may be lost, nothing else."""
        del cause
        self._store.close()

    def on_message(self, message: object) -> object:
        """One request; writes are only queued here, and answered after the commit."""
        match message:
            case _Commit():
                self._writes.commit(asked=True)
            case say.Accept():
                self._accept(message)
            case say.AcceptLocal(signed=signed, by=by):
                asker = say.Asker()
                self._emit(say.Emit("command.local", "info", signed.command.TYPE, f"{by} asked: {signed.command_id}"))
                self._accept(say.Accept(signed, None, expired=False, reply_to=asker))
                self._writes.commit()
                return asker.said
            case say.Running(command_id=command_id):
                self._writes.note(lambda store: store.set_command(command_id, "running", self._now_ms()))
            case say.Outcome():
                self._outcome(message)
            case say.Emit():
                self._emit(message)
            case say.Deliver(message=content):
                self._outgoing(content)
            case say.Progress():
                self._progress(message)
            case say.Passed():
                self._passed(message)
            case say.Again(family=family):
                self._writes.commit()
                self._tell_again(family)
            case say.PutDesired(desired=wanted):
                self._writes.note(
                    lambda store: store.put_desired(wanted.name, wanted.generation, wanted.spec, wanted.command_id)
                )
            case say.DropDesired(name=name, generation=generation):
                self._writes.note(lambda store: store.put_desired(name, generation, None, ""))
            case say.PutState(key=key, value=value):
                self._writes.note(lambda store: store.put_state(key, value))
            case say.Acknowledged(offset=offset):
                self._writes.note(lambda store: store.prune(offset))
            case say.Resume(offset=offset, believed=believed):
                self._writes.note(lambda store: store.resume(offset, believed))
            case _:
                return self._read(message)
        return None

    def _read(self, message: object) -> object:
        self._writes.commit()  # a reader sees everything that was said before
        match message:
            case say.LoadDesired():
                return reading.desired(self._store)
            case say.GetState(key=key):
                return self._store.get_state(key)
            case say.ReadOutbox(after=after, limit=limit):
                return reading.outbox(self._store, after, limit)
            case say.ReadReceived():
                return self._store.received()
            case say.ForgetReceived():
                with self._store.transaction():
                    self._store.forget_received()
                return None
            case say.ReadCommand(command_id=command_id):
                return reading.command(self._store, command_id)
            case say.RecentEvents(limit=limit):
                return reading.events(self._store, limit)
            case _:
                self.context.unhandled(message)
                return None

    # -- commands --------------------------------------------------------------------------------------------

    def _accept(self, ask: say.Accept) -> None:
        signed = ask.signed

        def apply(store: JournalStore) -> object:
            if ask.offset is not None and store.received() < ask.previous:
                return "hole"
            if ask.offset is not None:
                store.put_received(ask.offset)
            known = store.command(signed.command_id)
            if known is not None and known[0] != signed.envelope:
                return "E_DUP_CONFLICT"
            if known is not None:
                result = None if known[2] is None else reading.parsed(CommandResult.TYPE, known[2])
                if result is not None:
                    self._append(store, result)
                return "known"
            store.add_command(signed.command_id, signed.command.TYPE, signed.envelope, self._now_ms())
            if self._outbox_full(store):
                # Its failure goes out like every result: the master learns it whatever happens to this session.
                self._end(store, say.Outcome(signed.command_id, "failed", words.busy(signed.command.TYPE, OUTBOX_FULL)))
                return "E_BUSY"
            self._append(store, CommandAccepted(command_id=signed.command_id))
            # An end that is known now is on disk with the beginning: a crash between would carry it out.
            if ask.expired:
                self._end(store, say.Outcome(signed.command_id, "expired", words.expired()))
                return "ended"
            held = self._held(store, signed.command)
            if held is not None:
                self._end(store, say.Outcome(signed.command_id, "failed", held))
                return held
            return "new"

        self._writes.put(
            Write(apply, lambda verdict: self._kept(ask, verdict), lambda why: self._not_kept(ask, why[:200]))
        )

    def _kept(self, ask: say.Accept, verdict: object) -> None:
        """The verdict is on disk."""
        signed, word = ask.signed, ask.signed.command.TYPE
        if verdict == "hole":
            self._not_kept(ask, HOLE)
            return
        if verdict == "E_DUP_CONFLICT":
            self._refuse(ask, ask.offset, "E_DUP_CONFLICT", "another command had this id", later=False)
            return
        if verdict == "E_BUSY":
            self._refuse(ask, ask.offset, "E_BUSY", OUTBOX_FULL, later=True)
            self._poke()
            return
        self._tell(ask.reply_to, say.Accepted(signed.command_id, ask.offset, duplicate=verdict == "known"))
        self._poke()
        if verdict == "new":
            self._log.info("command.accepted", command_id=signed.command_id, command=word)
            self._dispatch(signed)
        elif isinstance(verdict, Failure):
            # Told as an event too: it may not have been the operator who sent it.
            self._emit(say.Emit("engine.stop_held", "warning", word, f"{verdict.what}: {verdict.why}"))

    def _held(self, store: JournalStore, command: Command) -> Failure | None:
        """Why a stop has to be confirmed first, if so."""
        if not isinstance(command, EngineStop):
            return None
        running = [name for name, _, spec, _ in store.desired() if spec is not None]
        burst = self._stops.ask(command.name, running, self.context.now(), confirmed=command.confirmed)
        return None if burst is None else words.unconfirmed(command.name, burst, self._settings.stops_window_s)

    def _not_kept(self, ask: say.Accept, why: str) -> None:
        """The disk refuses: nothing is acknowledged, so that the command comes again if this word is lost."""
        self._refuse(ask, None, "E_BUSY", why, later=True)

    def _passed(self, passed: say.Passed) -> None:
        def apply(store: JournalStore) -> object:
            if store.received() >= passed.previous:
                store.put_received(passed.offset)
                return True
            return False

        def after(kept: object) -> None:
            refused = say.NotAccepted("", None, "E_BUSY", HOLE, later=True)
            self._tell(passed.reply_to, say.Accepted("", passed.offset, duplicate=True) if kept else refused)

        refuse = say.NotAccepted("", None, "E_BUSY", "the disk refuses", later=True)
        self._writes.put(Write(apply, after, lambda _why: self._tell(passed.reply_to, refuse)))

    def _refuse(self, ask: say.Accept, offset: int | None, code: str, detail: str, *, later: bool) -> None:
        self._tell(ask.reply_to, say.NotAccepted(ask.signed.command_id, offset, code, detail, later))

    def _dispatch(self, signed: SignedCommand) -> None:
        """Tell the owner; a command that nobody owns, or whose owner takes nothing, has failed."""
        word = signed.command.TYPE
        owner = self._routes.get(word) or self._routes.get(word.partition(".")[0])
        if owner is None:
            self._outcome(say.Outcome(signed.command_id, "failed", words.unsupported(word)))
            return
        try:
            owner.tell(say.Execute(signed.command_id, signed.command, signed.envelope))
        except SupervisionError as error:
            self._outcome(say.Outcome(signed.command_id, "failed", words.busy(word, str(error))))

    def _outcome(self, outcome: say.Outcome) -> None:
        def after(ended: object) -> None:
            if ended:
                why = outcome.error.what if outcome.error else None
                self._log.info("command.ended", command_id=outcome.command_id, state=outcome.state, why=why)
                self._poke()

        self._writes.put(Write(lambda store: self._end(store, outcome), after))

    def _end(self, store: JournalStore, outcome: say.Outcome) -> bool:
        """The command's end and its result; False when it had ended before or is unknown."""
        try:
            result = words.result_of(outcome)
        except ProtocolError as error:
            self._log.error("outcome.unknown", command_id=outcome.command_id, why=str(error))
            return False
        now_ms = self._now_ms()
        if not store.set_command(outcome.command_id, outcome.state, now_ms, words.packed(result)):
            return False
        if now_ms - self._forgot_ms >= FORGET_EVERY_MS:
            self._forgot_ms = now_ms
            kept_ms = milliseconds(self._settings.ledger_kept_s)
            store.forget_commands(now_ms - kept_ms, self._settings.ledger_rows_kept)
        if self._outbox_full(store):
            store.drop_oldest(Event.TYPE)
        self._append(store, result)
        return True

    def _progress(self, progress: say.Progress) -> None:
        try:
            message = words.progress_of(progress)
        except ProtocolError as error:
            self._log.error("progress.unknown", command_id=progress.command_id, why=str(error))
        else:
            self._tell(self._link, say.Volatile(f"progress {progress.command_id}", message))

    # -- what the master gets --------------------------------------------------------------------------------

    def _emit(self, emit: say.Emit) -> None:
        now_ms = self._now_ms()
        event = words.event_of(emit, uuid7(now_ms, os.urandom(RANDOM_BYTES)).hex(), now_ms)
        self._log.info("event", kind=emit.kind, subject=emit.subject, severity=emit.severity, text=emit.text)

        def apply(store: JournalStore) -> object:
            store.add_event(words.packed(event))
            return self._append_if_room(store, event)

        self._writes.put(Write(apply, lambda _: self._poke()))

    def _outgoing(self, message: Message) -> None:
        if not words.fits(message):
            self._log.error("message.too_long", word=message.TYPE)
            return
        self._writes.put(Write(lambda store: self._append_if_room(store, message), lambda _: self._poke()))

    def _append_if_room(self, store: JournalStore, message: Message) -> object:
        """Results are never dropped, and a new event says more than an old one; where only results wait, none fits."""
        while self._outbox_full(store):
            if not store.drop_oldest(Event.TYPE):
                return None
        return self._append(store, message)

    def _outbox_full(self, store: JournalStore) -> bool:
        return (
            store.outbox_rows >= self._settings.outbox_rows_max or store.outbox_bytes >= self._settings.outbox_bytes_max
        )

    def _append(self, store: JournalStore, message: Message) -> int:
        message_id = uuid7(self._now_ms(), os.urandom(RANDOM_BYTES))
        return store.append(message_id, message.TYPE, words.packed(message))

    def _poke(self) -> None:
        self._tell(self._link, say.OutboxReady())

    # -- small things ----------------------------------------------------------------------------------------

    def _tell(self, handle: Handle | say.Asker, message: Any) -> None:
        """A listener that takes nothing now reads the file again later; nothing is lost by not telling it."""
        try:
            handle.tell(message)
        except SupervisionError as error:
            self._log.debug("not_told", to=handle.path, why=str(error))

    def _commit_after(self, wait_s: float) -> None:
        """Commit when all that waits in the mailbox was read, or after a while where the disk refuses."""
        if wait_s:
            self.context.after(wait_s, _Commit())
        else:
            self.context.handle.tell(_Commit())

    def _now_ms(self) -> int:
        return milliseconds(self._wall())
