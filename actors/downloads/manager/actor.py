"""The download manager: one transfer for each model that is asked for, however often; commands on the store.

Whatever reads or frees much (verifying, collecting) is in a task of its own; one of each kind at a time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog
from structlog.contextvars import bound_contextvars

from actors.clock import WallClock
from actors.downloads.bodies.api import Bring
from actors.downloads.collection import Doomed, Plan
from actors.downloads.errors import DownloadError, SourceError
from actors.downloads.manager import telling, words
from actors.downloads.manager.at_once import Answer, answer
from actors.downloads.manager.checking import VERIFY, Check, Checker, Verifying
from actors.downloads.manager.child import GONE, Maker, not_started
from actors.downloads.manager.own import Gone, Look
from actors.downloads.manager.steering import Next, Steering, follows, nothing_to_steer, rests, steered
from actors.downloads.manager.turns import Turns
from actors.downloads.manager.wishes import Wish, Wishes
from actors.downloads.messages import Cancel, Collected, StoreChanged, TransferChanged, TransferEnded
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import Resolve
from actors.downloads.verify import next_due
from actors.facts import ModelsChanged, TransferFacts, TransfersChanged
from actors.journal import messages as journal
from actors.journal.words import unsupported
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, DeleteChild, StartChild, TaskDone, TaskFailed, Terminated
from config.downloads import DownloadsSettings
from protocol.messages.base import Command
from protocol.messages.commands import (
    ModelCancel,
    ModelGc,
    ModelPause,
    ModelPriority,
    ModelPull,
    ModelVerify,
)
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure


class DownloadManagerActor(Actor):
    """See the module. `allowed` is the machine's policy on sources; `transfer` gives the handle of a transfer."""

    def __init__(
        self,
        *,
        settings: DownloadsSettings,
        store: ModelStore,
        bring: Bring,
        allowed: Callable[[str], bool],
        resolve: Resolve,
        transfers: Handle,
        transfer: Callable[[str], Handle],
        journal_handle: Handle,
        observers: tuple[Handle, ...],
        wall: WallClock,
    ) -> None:
        self._settings, self._store, self._allowed = settings, store, allowed
        self._maker = Maker(store, resolve, bring)
        self._transfers, self._transfer, self._journal = transfers, transfer, journal_handle
        self._observers, self._wall = observers, wall
        self._wishes = Wishes(settings.models_dir)
        self._turns = Turns()
        self._collecting: dict[int, tuple[str | None, ModelGc]] = {}
        self._log = structlog.get_logger().bind(actor="downloads")

    def on_start(self) -> object:
        """Say what is there. Pulls that were not finished come again from the journal."""
        self._cancel = self.context.flag()
        self._checker = Checker(self._store, self._settings.verify_bytes_s, self._cancel, self.context.handle.tell)
        if self.context.incarnation > 1:
            self._journal.tell(journal.Again("model"))  # those that the one before had begun
        self._observe_models()
        self._sweep()
        self.context.after(self._settings.collect_every_s, Look())
        return None

    def on_message(self, message: object) -> object:
        """One command, one word of a transfer, or the end of a task."""
        match message:
            case journal.Execute(command_id=command_id, command=command):
                self._execute(command_id, command)
            case TransferChanged(facts=facts):
                self._changed(facts)
            case TransferEnded():
                self._ended(message)
            case ChildReply(request="start"):
                self._started(message)
            case Terminated(path=path, final=True):
                self.context.handle.tell(Gone(path.rpartition("/")[2]))
            case Gone(transfer_id=name) if self._wishes.by_transfer(name):
                self._transfers.tell(DeleteChild(name))
                self._ended(TransferEnded(name, GONE, {}))
            case StoreChanged():
                self._observe_models()
            case Collected(doomed=doomed):
                self._tell_collected(doomed)
            case Look():
                self._look()
            case Verifying(facts=facts):
                self._verifying(facts)
            case TaskDone(name="verify") | TaskFailed(name="verify"):
                self._verified(message)
            case TaskDone(name="collect") | TaskFailed(name="collect"):
                self._collected(message)
            case TaskDone() | TaskFailed() | ChildReply() | Gone() | Terminated():
                pass
            case _:
                self.context.unhandled(message)
        return None

    # -- commands --------------------------------------------------------------------------------------------

    def _execute(self, command_id: str, command: Command) -> None:
        with bound_contextvars(command_id=command_id):
            self._carry_out(command_id, command)

    def _carry_out(self, command_id: str, command: Command) -> None:
        self._journal.tell(journal.Running(command_id))
        try:
            done = self._do(command_id, command)
        except DownloadError as error:
            self._journal.tell(journal.Outcome(command_id, "failed", error.failure()))
        except OSError as error:
            self._journal.tell(journal.Outcome(command_id, "failed", words.disk_failed(command.TYPE, error)))
        else:
            if done is not None:
                self._journal.tell(journal.Outcome(command_id, "done", None, done.data, done.rows))
            if done is not None and done.changed:
                self._sweep()
                self._observe_models()

    def _do(self, command_id: str, command: Command) -> Answer | None:
        """What became of it; None while it goes on."""
        match command:
            case ModelPull(source=source, priority=priority):
                self._pull(command_id, source, priority)
            case ModelVerify():
                self._verify(Check(command_id, self._store.chosen(command.model, command.revision)))
            case ModelGc():
                self._collect(command_id, command)
            case ModelPause() | ModelCancel() | ModelPriority():
                return self._steer(command)
            case _ if (done := answer(self._store, command)) is not None:
                return done
            case _:
                self._journal.tell(journal.Outcome(command_id, "failed", unsupported(command.TYPE)))
        return None

    def _sweep(self) -> None:
        if self._store.littered():
            self.context.task("sweep", self._store.sweep)

    # -- transfers -------------------------------------------------------------------------------------------

    def _pull(self, command_id: str, source: ModelSource, priority: int) -> None:
        if not self._allowed(source.uri):
            what = f"{source.uri} is not allowed on this machine"
            raise SourceError("E_POLICY.url", what, "its own policy decides", "allow it in policy.sources")
        wish = self._wishes.add(command_id, source, priority)
        if wish.commands == (command_id,):
            self._start_next()
        else:  # it is on its way: one transfer answers every command, and its lines are those of the first
            self._log.info("transfer.joined", transfer=wish.transfer_id or wish.wanted, began_by=wish.commands[0])

    def _start_next(self) -> None:
        for wish in self._wishes.begin(self._settings.transfers_max):
            self._transfers.tell(StartChild(self._maker.spec(wish, self.context.handle), self.context.handle))
        self._tell_transfers()

    def _steer(self, command: Steering) -> Answer:
        """Pause, go on, cancel, or another priority: of every transfer of a model, or of one revision of it."""
        chosen = self._wishes.of(command.model, command.revision)
        if not chosen:
            raise nothing_to_steer(command)
        for before in chosen:
            wish = self._wishes.put(steered(before, command))
            match follows(wish):
                case Next.STOP:
                    self._end_soon(wish)
                case Next.OVER:
                    self._over(wish, words.cancelled(wish.source.uri), {})
                case Next.REST:
                    self._rest(wish)
                case Next.GO_ON:
                    pass
        self._wishes.keep()
        self._start_next()
        return Answer({"transfers": len(chosen)})

    def _end_soon(self, wish: Wish) -> None:
        """What it brought stays. One that does not hear it now is told again as soon as it says something."""
        self._wishes.put(replace(wish, ending=True))
        self._cancel_transfer(wish.transfer_id)

    def _cancel_transfer(self, transfer_id: str) -> None:
        with contextlib.suppress(SupervisionError):
            self._transfer(transfer_id).tell(Cancel())

    def _started(self, reply: ChildReply) -> None:
        failure = not_started(reply)
        if failure is None:
            self.context.watch(self._transfer(reply.id))
        else:
            self._ended(TransferEnded(reply.id, failure, {}))

    def _changed(self, facts: TransferFacts) -> None:
        wish = self._wishes.by_transfer(facts.transfer_id)
        if wish is None and self._wishes.is_stray(facts.transfer_id):
            self._cancel_transfer(facts.transfer_id)
        elif wish is not None:
            wish = self._wishes.put(replace(wish, facts=facts))
            if wish.ending:
                self._end_soon(wish)
            self._say(telling.progress(wish.commands, facts))
            self._tell_transfers()

    def _ended(self, ended: TransferEnded) -> None:
        wish = self._wishes.by_transfer(ended.transfer_id)
        if wish is None:
            return
        if rests(wish, ended.failure):
            self._rest(wish)
        else:
            self._over(wish, ended.failure, ended.data)
        self._start_next()

    def _rest(self, wish: Wish) -> None:
        wish = self._wishes.rest(wish)
        self._say(telling.progress(wish.commands, wish.facts))

    def _over(self, wish: Wish, failure: Failure | None, data: telling.Data) -> None:
        self._wishes.end(wish)
        self._say(telling.over(wish, failure, data))
        self._observe_models()

    # -- verifying -------------------------------------------------------------------------------------------

    def _verify(self, check: Check) -> None:
        self._turns.add(check)
        self._next_turn()

    def _next_turn(self) -> None:
        check = self._turns.begin()
        if check is not None:
            self.context.task(VERIFY, self._checker.run, check, cancel=self._cancel.set)

    def _verifying(self, facts: TransferFacts) -> None:
        check = self._turns.running
        if check is not None:
            self._say(telling.progress([check.command_id] if check.command_id is not None else [], facts))
            self._tell_transfers(facts)

    def _verified(self, ended: TaskDone | TaskFailed) -> None:
        self._say(telling.verified(self._turns.end(), ended))
        self._tell_transfers()
        self._next_turn()

    # -- space -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.context.after(self._settings.collect_every_s, Look())
        if not self._collecting:
            self._collect(None, ModelGc())
        due = next_due(self._store.versions(), self._settings.verify_every_s, self._wall())
        if due is not None and self._turns.running is None:
            self._verify(Check(None, (due,)))

    def _collect(self, command_id: str | None, command: ModelGc) -> None:
        task = self.context.task("collect", self._run_collect, command)
        self._collecting[task.id] = (command_id, command)

    def _run_collect(self, command: ModelGc) -> Plan:
        return self._store.gc(command.free_bytes, dry_run=command.dry_run)

    def _collected(self, ended: TaskDone | TaskFailed) -> None:
        command_id, command = self._collecting.pop(ended.task_id, (None, ModelGc()))
        if isinstance(ended, TaskFailed):
            self._log.error("collection_failed", command_id=command_id, why=ended.error)
            self._say(telling.not_collected(command_id, ended.error))
            return
        plan = ended.value
        assert isinstance(plan, Plan)
        if not command.dry_run:
            self._tell_collected(plan.doomed)
        if command_id is not None:
            self._say(telling.collected(command_id, plan, self._store.space(), dry_run=command.dry_run))

    def _tell_collected(self, doomed: tuple[Doomed, ...]) -> None:
        self._say(telling.gone(doomed))
        if doomed:
            self._observe_models()

    # -- telling ---------------------------------------------------------------------------------------------

    def _say(self, said: telling.Said) -> None:
        for message in said:
            self._journal.tell(message)

    def _observe_models(self) -> None:
        self._tell(ModelsChanged(self._store.models()))

    def _tell_transfers(self, *more: TransferFacts) -> None:
        self._tell(TransfersChanged((*self._wishes.facts(), *more)))

    def _tell(self, message: object) -> None:
        for handle in self._observers:
            try:
                handle.tell(message)
            except SupervisionError as error:
                self._log.debug("not_told", to=handle.path, why=str(error))
