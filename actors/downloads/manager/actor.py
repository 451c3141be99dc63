"""The download manager: one transfer for each model that is asked for, however often; commands on the store.

Whatever reads or frees much (verifying, collecting) is in a task of its own; one of each kind at a time.
"""

import contextlib
from collections import deque
from collections.abc import Callable

import structlog
from structlog.contextvars import bound_contextvars

from actors.clock import WallClock
from actors.downloads.bodies.api import Bring
from actors.downloads.collection import Doomed, Plan
from actors.downloads.errors import DownloadError, SourceError, StoreError
from actors.downloads.manager import words
from actors.downloads.manager.checking import VERIFY, Check, Checker, Verifying
from actors.downloads.manager.own import Gone, Look
from actors.downloads.manager.wishes import Wish, Wishes
from actors.downloads.messages import Cancel, Collected, StoreChanged, TransferChanged, TransferEnded
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import Resolve, TransferActor
from actors.downloads.verify import next_due
from actors.facts import ModelsChanged, TransferFacts, TransfersChanged
from actors.journal import messages as journal
from actors.journal.words import unsupported
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, DeleteChild, StartChild, TaskDone, TaskFailed, Terminated
from actors.supervision.spec import Backoff, ChildSpec, Limit, Restart
from config.downloads import DownloadsSettings
from protocol.messages.base import Command
from protocol.messages.commands import (
    ModelCancel,
    ModelGc,
    ModelList,
    ModelPause,
    ModelPin,
    ModelPriority,
    ModelPull,
    ModelRemove,
    ModelUse,
    ModelVerify,
)
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure

Data = dict[str, str | int]


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
        self._settings, self._store, self._allowed, self._resolve = settings, store, allowed, resolve
        self._bring = bring
        self._transfers, self._transfer, self._journal = transfers, transfer, journal_handle
        self._observers, self._wall = observers, wall
        self._wishes = Wishes(settings.models_dir)
        self._checks: deque[Check] = deque()
        self._checking: Check | None = None
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
                failure = Failure(
                    code="E_INTERNAL", what="the transfer failed too often", do="look at the log, pull again"
                )
                self._transfers.tell(DeleteChild(name))
                self._ended(TransferEnded(name, failure, {}))
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
            data = self._do(command_id, command)
        except DownloadError as error:
            self._journal.tell(journal.Outcome(command_id, "failed", error.failure()))
        except OSError as error:
            what, do = f"{command.TYPE} could not be done", "look at the disk of downloads.models_dir"
            failure = Failure(code="E_STORE", what=what, why=str(error), do=do)
            self._journal.tell(journal.Outcome(command_id, "failed", failure))
        else:
            if data is not None:
                self._journal.tell(journal.Outcome(command_id, "done", None, data))
                self._observe_models()

    def _do(self, command_id: str, command: Command) -> Data | None:
        """What became of it; None while it goes on."""
        match command:
            case ModelPull(source=source, priority=priority):
                self._pull(command_id, source, priority)
            case ModelRemove():
                count = self._store.remove(command.model, command.revision, force=command.force)
                self._sweep()
                return {"removed": count}
            case ModelPin():
                commit = self._store.pin(command.model, command.revision, pinned=command.pinned)
                return {"revision": commit, "pinned": int(command.pinned)}
            case ModelUse():
                return {"revision": self._store.use(command.model, command.revision)}
            case ModelVerify():
                self._verify(Check(command_id, self._store.chosen(command.model, command.revision)))
            case ModelGc():
                self._collect(command_id, command)
            case ModelPause() | ModelCancel() | ModelPriority():
                return self._steer(command)
            case ModelList():
                rows = words.model_rows(self._store.models())
                data = words.space_data(self._store.space())
                self._journal.tell(journal.Outcome(command_id, "done", None, data, rows))
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
        if wish.commands == [command_id]:
            self._start_next()
        else:  # it is on its way: one transfer answers every command, and its lines are those of the first
            self._log.info("transfer.joined", transfer=wish.transfer_id or wish.wanted, began_by=wish.commands[0])

    def _start_next(self) -> None:
        for wish in self._wishes.begin(self._settings.transfers_max):
            self._transfers.tell(StartChild(self._spec(wish), self.context.handle))
        self._tell_transfers()

    def _steer(self, command: ModelPause | ModelCancel | ModelPriority) -> Data:
        """Pause, go on, cancel, or another priority: of every transfer of a model, or of one revision of it."""
        chosen = self._wishes.of(command.model, command.revision)
        if not chosen:
            what = f"there is no transfer of {command.model} {command.revision or ''}".strip()
            raise StoreError("E_NOT_FOUND", what, "", "see: mosalamaagent models")
        for wish in chosen:
            match command:
                case ModelPause(paused=paused):
                    wish.said, wish.paused = True, paused
                case ModelCancel():
                    wish.cancelled = True
                case ModelPriority(priority=priority):
                    wish.said, wish.priority = True, priority
            if wish.transfer_id and (wish.paused or wish.cancelled):
                self._end_soon(wish)
            elif wish.cancelled:
                self._over(wish, words.cancelled(wish.source.uri), {})
            elif not wish.transfer_id:
                self._rest(wish)
        self._wishes.keep()
        self._start_next()
        return {"transfers": len(chosen)}

    def _end_soon(self, wish: Wish) -> None:
        """What it brought stays. One that does not hear it now is told again as soon as it says something."""
        wish.ending = True
        self._cancel_transfer(wish.transfer_id)

    def _cancel_transfer(self, transfer_id: str) -> None:
        with contextlib.suppress(SupervisionError):
            self._transfer(transfer_id).tell(Cancel())

    def _spec(self, wish: Wish) -> ChildSpec:
        store, resolve, bring, manager = self._store, self._resolve, self._bring, self.context.handle
        transfer_id, source, command_id = wish.transfer_id, wish.source, wish.commands[0]

        def factory() -> TransferActor:
            return TransferActor(
                transfer_id=transfer_id,
                source=source,
                store=store,
                resolve=resolve,
                bring=bring,
                manager=manager,
                command_id=command_id,
            )

        return ChildSpec(
            transfer_id, factory, restart=Restart.TRANSIENT, backoff=Backoff(max_s=10.0), limit=Limit(5, 600.0)
        )

    def _started(self, reply: ChildReply) -> None:
        if reply.ok or reply.error in {"already_started", "already_present"}:
            self.context.watch(self._transfer(reply.id))
            return
        why = f"{reply.error} {reply.detail}"[:2_000]
        self._ended(TransferEnded(reply.id, Failure(code="E_INTERNAL", what="the transfer did not start", why=why), {}))

    def _changed(self, facts: TransferFacts) -> None:
        wish = self._wishes.by_transfer(facts.transfer_id)
        if wish is None and self._wishes.is_stray(facts.transfer_id):
            self._cancel_transfer(facts.transfer_id)
        elif wish is not None:
            wish.facts = facts
            if wish.ending:
                self._end_soon(wish)
            for command_id in wish.commands:
                self._progress(command_id, facts)
            self._tell_transfers()

    def _progress(self, command_id: str, facts: TransferFacts) -> None:
        self._journal.tell(journal.Progress(command_id, facts.state, facts.done_bytes, facts.total_bytes, "bytes"))

    def _ended(self, ended: TransferEnded) -> None:
        wish = self._wishes.by_transfer(ended.transfer_id)
        if wish is None:
            return
        if not wish.cancelled and ended.failure is not None and ended.failure.code == words.CANCELLED:
            self._rest(wish)
        else:
            self._over(wish, ended.failure, ended.data)
        self._start_next()

    def _rest(self, wish: Wish) -> None:
        self._wishes.rest(wish)
        for command_id in wish.commands:
            self._progress(command_id, wish.facts)

    def _over(self, wish: Wish, failure: Failure | None, data: Data) -> None:
        """It is here, or will not come: every command that wanted it hears so."""
        self._wishes.end(wish)
        cancelled = wish.cancelled and failure is not None and failure.code == words.CANCELLED
        failure = words.cancelled(wish.source.uri) if cancelled else failure
        state: journal.FinalState = "cancelled" if cancelled else "failed" if failure else "done"
        for command_id in wish.commands:
            self._journal.tell(journal.Outcome(command_id, state, failure, data))
        about = f"model/{wish.source.model}"
        if cancelled:
            self._journal.tell(
                journal.Emit("model.cancelled", "info", about, "what it brought is kept for a later pull")
            )
        elif failure is not None:
            text = ": ".join(part for part in (failure.what, failure.why) if part)
            self._journal.tell(journal.Emit("model.failed", "error", about, text))
        else:
            self._journal.tell(journal.Emit("model.done", "info", about, f"{data.get('size_bytes')} bytes, verified"))
        self._observe_models()

    # -- verifying -------------------------------------------------------------------------------------------

    def _verify(self, check: Check) -> None:
        known = [*self._checks, *([self._checking] if self._checking else [])]
        if check.command_id is None or check.command_id not in {one.command_id for one in known}:
            self._checks.append(check)
        if self._checking is None and self._checks:
            self._checking = self._checks.popleft()
            self.context.task(VERIFY, self._checker.run, self._checking, cancel=self._cancel.set)

    def _verifying(self, facts: TransferFacts) -> None:
        if self._checking is not None:
            if self._checking.command_id is not None:
                self._progress(self._checking.command_id, facts)
            self._tell_transfers(facts)

    def _verified(self, ended: TaskDone | TaskFailed) -> None:
        check, self._checking = self._checking, None
        failure, data = None, dict[str, str | int]()
        if isinstance(ended, TaskDone) and isinstance(ended.value, tuple):
            failure, data = words.verdict(ended.value)
            for version, what in words.damages(ended.value):
                self._journal.tell(journal.Emit("model.damaged", "error", f"model/{version.model}", what))
        elif isinstance(ended, TaskFailed):
            failure = Failure(code="E_STORE", what="the verification ended", why=ended.error[:2_000], do="try again")
        if check is not None and check.command_id is not None:
            self._journal.tell(journal.Outcome(check.command_id, "failed" if failure else "done", failure, data))
        self._tell_transfers()
        if self._checks:
            self._verify(self._checks.popleft())

    # -- space -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.context.after(self._settings.collect_every_s, Look())
        if not self._collecting:
            self._collect(None, ModelGc())
        due = next_due(self._store.versions(), self._settings.verify_every_s, self._wall())
        if due is not None and self._checking is None:
            self._verify(Check(None, (due,)))

    def _collect(self, command_id: str | None, command: ModelGc) -> None:
        task = self.context.task("collect", self._run_collect, command)
        self._collecting[task.id] = (command_id, command)

    def _run_collect(self, command: ModelGc) -> Plan:
        return self._store.gc(command.free_bytes, dry_run=command.dry_run)

    def _collected(self, ended: TaskDone | TaskFailed) -> None:
        command_id, command = self._collecting.pop(ended.task_id, (None, ModelGc()))
        if isinstance(ended, TaskFailed):
            failure = Failure(
                code="E_STORE", what="the collection failed", why=ended.error[:2_000], do="look at the disk"
            )
            self._log.error("collection_failed", command_id=command_id, why=ended.error)
            if command_id is not None:
                self._journal.tell(journal.Outcome(command_id, "failed", failure))
            return
        plan = ended.value
        assert isinstance(plan, Plan)
        if not command.dry_run:
            self._tell_collected(plan.doomed)
        if command_id is not None:
            data = words.plan_data(plan, dry_run=command.dry_run) | words.space_data(self._store.space())
            self._journal.tell(journal.Outcome(command_id, "done", None, data, words.plan_rows(plan)))

    def _tell_collected(self, doomed: tuple[Doomed, ...]) -> None:
        for one in doomed:
            text = f"{one.key} was removed: {one.why}; {one.frees_bytes} bytes are free again"
            self._journal.tell(journal.Emit("model.collected", "info", f"model/{one.key}", text))
        if doomed:
            self._observe_models()

    # -- telling ---------------------------------------------------------------------------------------------

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
