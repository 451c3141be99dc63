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
from protocol.codec import decode, encode
from protocol.command import SignedCommand, unseal_trusted
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.messages.base import Message
from protocol.messages.registry import ALL, dump, parse
from protocol.messages.reports import CommandAccepted, CommandProgress, CommandResult, Event, Failure

from . import messages as say
from .errors import JournalBusyError, JournalCorruptError
from .store import JournalStore, quarantine

PENDING_MAX = 10_000
"""Writes that wait while the disk refuses; beyond it the actor ends, and with it the acceptance of anything."""


@dataclass(frozen=True, slots=True)
class _Commit:
    """To itself: everything that came before this is one transaction."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One change, what follows when it is on disk, and what when it cannot be (None: it waits and is tried again)."""

    apply: Callable[[JournalStore], object]
    after: Callable[[object], None]
    refuse: Callable[[str], None] | None = None


def _nothing(_result: object) -> None:
    """Nothing follows."""


class JournalActor(Actor):
    """Owns the file. `routes`: first part of a command's word -> the actor that carries it out."""

    def __init__(
        self,
        *,
        file: Path,
        settings: JournalSettings,
        routes: Mapping[str, Handle],
        link: Handle,
        wall: WallClock,
    ) -> None:
        self._file, self._settings, self._routes, self._link, self._wall = file, settings, routes, link, wall
        self._pending: list[_Write] = []
        self._commit_due = False
        self._degraded = False
        self._log = structlog.get_logger().bind(actor="journal")

    # -- life ------------------------------------------------------------------------------------------------

    def on_start(self) -> object:
        """Open the file, and bring what was accepted before to its owners again."""
        note = ""
        try:
            self._store = JournalStore.open(self._file)
        except JournalCorruptError as error:
            aside = quarantine(self._file, str(self._now_ms()))
            note = f"{error}; kept as {aside.name}"
            self._store = JournalStore.open(self._file)
        if note:
            self._emit(say.Emit("journal.damaged", "critical", "journal", note))
        for command_id, envelope, state in self._store.open_commands():
            self._dispatch(unseal_trusted(command_id, envelope), again=state)
        return None

    def on_stop(self, reason: str) -> None:
        """Write what waits, then close."""
        del reason
        self._commit()
        self._store.close()

    def on_crash(self, cause: BaseException) -> None:
        """Close without writing: what was not acknowledged may be lost, nothing else."""
        del cause
        self._store.close()

    def on_message(self, message: object) -> object:
        """One request; writes are only queued here, and answered after the commit."""
        match message:
            case _Commit():
                self._commit_due = False
                self._commit()
            case say.Accept():
                self._accept(message)
            case say.Running(command_id=command_id):
                self._write(lambda store: store.set_command(command_id, "running", self._now_ms()))
            case say.Outcome():
                self._outcome(message)
            case say.Emit():
                self._emit(message)
            case say.Deliver(message=content):
                self._outgoing(content)
            case say.Progress():
                self._progress(message)
            case say.PutDesired(desired=wanted):
                self._write(
                    lambda store: store.put_desired(wanted.name, wanted.generation, wanted.spec, wanted.command_id)
                )
            case say.DropDesired(name=name, generation=generation):
                self._write(lambda store: store.put_desired(name, generation, None, ""))
            case say.PutState(key=key, value=value):
                self._write(lambda store: store.put_state(key, value))
            case say.Acknowledged(offset=offset):
                self._write(lambda store: store.prune(offset))
            case _:
                return self._read(message)
        return None

    def _read(self, message: object) -> object:
        self._commit()  # a reader sees everything that was said before
        match message:
            case say.LoadDesired():
                return self._desired()
            case say.GetState(key=key):
                return self._store.get_state(key)
            case say.ReadOutbox(after=after, limit=limit):
                rows = self._store.outbox(after, limit)
                return tuple(say.OutboxRow(at, mid, parse(ALL, word, decode(raw))) for at, mid, word, raw in rows)
            case say.ReadReceived():
                return self._store.received()
            case say.RecentEvents(limit=limit):
                return tuple(parse(ALL, Event.TYPE, decode(raw)) for raw in self._store.events(limit))
            case _:
                self.context.unhandled(message)
                return None

    # -- commands --------------------------------------------------------------------------------------------

    def _accept(self, ask: say.Accept) -> None:
        signed = ask.signed

        def refuse(code: str, detail: str, *, later: bool) -> None:
            self._tell(ask.reply_to, say.NotAccepted(signed.command_id, ask.offset, code, detail, later))

        def apply(store: JournalStore) -> object:
            known = store.command(signed.command_id)
            if known is not None and known[0] != signed.envelope:
                return "E_DUP_CONFLICT"
            if ask.offset is not None:
                store.put_received(ask.offset)
            if known is not None:
                if known[2] is not None:
                    self._append(store, parse(ALL, CommandResult.TYPE, decode(known[2])))
                return "known"
            if store.outbox_rows() >= self._settings.outbox_rows_max:
                return "E_BUSY"
            store.add_command(signed.command_id, signed.command.TYPE, signed.envelope, self._now_ms())
            self._append(store, CommandAccepted(command_id=signed.command_id))
            return "expired" if ask.expired else "new"

        def after(verdict: object) -> None:
            if verdict == "E_DUP_CONFLICT":
                refuse("E_DUP_CONFLICT", "another command had this id", later=False)
            elif verdict == "E_BUSY":
                refuse("E_BUSY", "too many results wait for the master", later=True)
            else:
                self._tell(ask.reply_to, say.Accepted(signed.command_id, ask.offset, duplicate=verdict == "known"))
                self._poke()
                if verdict == "new":
                    self._log.info("command.accepted", command_id=signed.command_id, command=signed.command.TYPE)
                    self._dispatch(signed, again="")
                elif verdict == "expired":
                    self._outcome(say.Outcome(signed.command_id, "expired", _expired()))

        self._queue(_Write(apply, after, lambda why: refuse("E_BUSY", why[:200], later=True)))

    def _dispatch(self, signed: SignedCommand, *, again: str) -> None:
        """Tell the owner; a command that nobody owns, or whose owner takes nothing, has failed."""
        owner = self._routes.get(signed.command.TYPE.partition(".")[0])
        if again:
            self._log.info("command.again", command_id=signed.command_id, command=signed.command.TYPE, state=again)
        if owner is None:
            self._outcome(say.Outcome(signed.command_id, "failed", _unsupported(signed.command.TYPE)))
            return
        try:
            owner.tell(say.Execute(signed.command_id, signed.command, signed.envelope))
        except SupervisionError as error:
            failure = Failure(
                code="E_BUSY", what=f"{signed.command.TYPE} was not begun", why=str(error)[:200], do="send it again"
            )
            self._outcome(say.Outcome(signed.command_id, "failed", failure))

    def _outcome(self, outcome: say.Outcome) -> None:
        result = CommandResult(
            command_id=outcome.command_id, state=outcome.state, error=outcome.error, data=dict(outcome.data)
        )
        raw = encode(dump(result))

        def apply(store: JournalStore) -> object:
            if not store.set_command(outcome.command_id, outcome.state, self._now_ms(), raw):
                return None
            store.forget_commands(
                self._now_ms() - milliseconds(self._settings.ledger_kept_s), self._settings.ledger_rows_kept
            )
            return self._append(store, result)

        def after(offset: object) -> None:
            if offset is not None:
                why = outcome.error.what if outcome.error else None
                self._log.info("command.ended", command_id=outcome.command_id, state=outcome.state, why=why)
                self._poke()

        self._queue(_Write(apply, after))

    def _progress(self, progress: say.Progress) -> None:
        message = CommandProgress(
            command_id=progress.command_id,
            stage=progress.stage,
            done=progress.done,
            total=progress.total,
            unit=progress.unit,
            detail=progress.detail[:256],
        )
        self._tell(self._link, say.Volatile(f"progress {progress.command_id}", message))

    # -- what the master gets --------------------------------------------------------------------------------

    def _emit(self, emit: say.Emit) -> None:
        now_ms = self._now_ms()
        event = Event(
            event_id=uuid7(now_ms, os.urandom(RANDOM_BYTES)).hex(),
            at_ms=now_ms,
            kind=emit.kind,
            severity=emit.severity,
            subject=emit.subject[:256],
            text=emit.text[:4_096],
            fields=dict(emit.fields),
        )
        self._log.info("event", kind=emit.kind, subject=emit.subject, severity=emit.severity, text=event.text)

        def apply(store: JournalStore) -> object:
            store.add_event(encode(dump(event)))
            if store.outbox_rows() >= self._settings.outbox_rows_max:
                store.drop_oldest(Event.TYPE)  # results are never dropped, and a new event says more than an old one
            return self._append(store, event)

        self._queue(_Write(apply, lambda _: self._poke()))

    def _outgoing(self, message: Message) -> None:
        self._queue(_Write(lambda store: self._append(store, message), lambda _: self._poke()))

    def _append(self, store: JournalStore, message: Message) -> int:
        message_id = uuid7(self._now_ms(), os.urandom(RANDOM_BYTES))
        return store.append(message_id, message.TYPE, encode(dump(message)))

    def _poke(self) -> None:
        self._tell(self._link, say.OutboxReady())

    # -- writing ---------------------------------------------------------------------------------------------

    def _write(self, apply: Callable[[JournalStore], object]) -> None:
        self._queue(_Write(apply, _nothing))

    def _queue(self, write: _Write) -> None:
        if len(self._pending) >= PENDING_MAX:
            raise JournalBusyError(str(self._file), f"{PENDING_MAX} writes wait", "free space on the disk")
        self._pending.append(write)
        if not self._commit_due and not self._degraded:
            self._commit_due = True
            self.context.handle.tell(_Commit())

    def _commit(self) -> None:
        """Write everything that waits; what cannot wait is refused, the rest is tried again."""
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                with self._store.transaction():
                    results = [write.apply(self._store) for write in batch]
            except JournalBusyError as error:
                self._refused(batch, error)
                return
            if self._degraded:
                self._degraded = False
                self._log.warning("journal.recovered")
            for write, result in zip(batch, results, strict=True):
                write.after(result)

    def _refused(self, batch: list[_Write], error: JournalBusyError) -> None:
        if not self._degraded:
            self._degraded = True
            self._log.error("journal.cannot_write", why=str(error), waiting=len(batch))
        for write in batch:
            if write.refuse is not None:
                write.refuse(error.why)
        self._pending = [write for write in batch if write.refuse is None] + self._pending
        self.context.after(self._settings.retry_s, _Commit())

    # -- small things ----------------------------------------------------------------------------------------

    def _desired(self) -> say.DesiredState:
        rows = self._store.desired()
        engines = tuple(say.Desired(name, at, spec, command) for name, at, spec, command in rows if spec is not None)
        return say.DesiredState(engines, {name: at for name, at, _, _ in rows})

    def _tell(self, handle: Handle, message: Any) -> None:
        """A listener that takes nothing now reads the file again later; nothing is lost by not telling it."""
        try:
            handle.tell(message)
        except SupervisionError as error:
            self._log.debug("not_told", to=handle.path, why=str(error))

    def _now_ms(self) -> int:
        return milliseconds(self._wall())


def _expired() -> Failure:
    return Failure(
        code="E_EXPIRED",
        what="the command was not carried out",
        why="its time to live was over when it arrived",
        do="send it again with a longer time to live",
    )


def _unsupported(word: str) -> Failure:
    return Failure(
        code="E_UNKNOWN_OP",
        what=f"{word} was not carried out",
        why="this version has no part that does it",
        do="update the agent",
    )
