"""The download manager: one transfer for each model that is asked for, however often; commands on the store.

Whatever reads or frees much (verifying, collecting) is in a task of its own; one of each kind at a time.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from actors.clock import WallClock
from actors.downloads.bodies.api import Bring
from actors.downloads.collection import Doomed, Plan
from actors.downloads.errors import DownloadError, SourceError
from actors.downloads.manager import words
from actors.downloads.manager.checking import VERIFY, Check, Checker, Verifying
from actors.downloads.messages import Collected, StoreChanged, TransferChanged, TransferEnded
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import Resolve, TransferActor
from actors.downloads.verify import next_due
from actors.facts import ModelsChanged, TransferFacts, TransfersChanged
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, DeleteChild, StartChild, TaskDone, TaskFailed, Terminated
from actors.supervision.spec import Backoff, ChildSpec, Limit, Restart
from config.downloads import DownloadsSettings
from protocol.keys import digest
from protocol.messages.base import Command
from protocol.messages.commands import ModelGc, ModelList, ModelPin, ModelPull, ModelRemove, ModelUse, ModelVerify
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure

ID_CHARS = 16
Data = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class _Look:
    """To itself: is the store too full, is a verification due?"""


@dataclass(frozen=True, slots=True)
class _Gone:
    """To itself, behind whatever a transfer still said: its actor ended for good."""

    transfer_id: str


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
        self._running: dict[str, TransferFacts] = {}
        self._waiting: dict[str, list[str]] = {}
        """What is wanted -> the commands that want it."""
        self._queue: list[tuple[int, int, str, ModelSource]] = []
        """What waits for a place: the more urgent first, then in the order it came."""
        self._came = 0
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
        self.context.after(self._settings.collect_every_s, _Look())
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
                self.context.handle.tell(_Gone(path.rpartition("/")[2]))
            case _Gone(transfer_id=name) if name in self._running:
                failure = Failure(
                    code="E_INTERNAL", what="the transfer failed too often", do="look at the log, pull again"
                )
                self._transfers.tell(DeleteChild(name))
                self._ended(TransferEnded(name, failure, {}))
            case StoreChanged():
                self._observe_models()
            case Collected(doomed=doomed):
                self._tell_collected(doomed)
            case _Look():
                self._look()
            case Verifying(facts=facts):
                self._verifying(facts)
            case TaskDone(name="verify") | TaskFailed(name="verify"):
                self._verified(message)
            case TaskDone(name="collect") | TaskFailed(name="collect"):
                self._collected(message)
            case TaskDone() | TaskFailed() | ChildReply() | _Gone() | Terminated():
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
            case ModelList():
                rows = words.model_rows(self._store.models())
                data = words.space_data(self._store.space())
                self._journal.tell(journal.Outcome(command_id, "done", None, data, rows))
            case _:
                raise DownloadError("E_UNKNOWN_OP", f"{command.TYPE} cannot be done yet", "", "update the agent")
        return None

    def _sweep(self) -> None:
        if self._store.littered():
            self.context.task("sweep", self._store.sweep)

    # -- transfers -------------------------------------------------------------------------------------------

    def _pull(self, command_id: str, source: ModelSource, priority: int) -> None:
        if not self._allowed(source.uri):
            what = f"{source.uri} is not allowed on this machine"
            raise SourceError("E_POLICY.url", what, "its own policy decides", "allow it in policy.sources")
        wanted = digest(source.model_dump_json().encode()).hex()[:ID_CHARS]
        known = wanted in self._waiting
        waiting = self._waiting.setdefault(wanted, [])
        if command_id not in waiting:
            waiting.append(command_id)
        if known:
            return  # the same model is on its way: one transfer answers every command
        self._came += 1
        # A name of its own each time: the end of an earlier transfer of the same source says nothing about this one.
        self._queue.append((-priority, self._came, f"{wanted}-{self._came}", source))
        self._queue.sort(key=lambda one: one[:2])
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and len(self._running) < self._settings.transfers_max:
            _, _, transfer_id, source = self._queue.pop(0)
            self._running[transfer_id] = TransferFacts(transfer_id, source.model, source.revision, "starting", 0, 0)
            self._transfers.tell(StartChild(self._spec(transfer_id, source), self.context.handle))

    def _spec(self, transfer_id: str, source: ModelSource) -> ChildSpec:
        store, resolve, bring, manager = self._store, self._resolve, self._bring, self.context.handle
        command_id = next(iter(self._waiting.get(_wanted(transfer_id), ())), "")

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
        if facts.transfer_id in self._running:
            self._running[facts.transfer_id] = facts
            for command_id in self._waiting.get(_wanted(facts.transfer_id), ()):
                self._progress(command_id, facts)
            self._tell_transfers()

    def _progress(self, command_id: str, facts: TransferFacts) -> None:
        self._journal.tell(journal.Progress(command_id, facts.state, facts.done_bytes, facts.total_bytes, "bytes"))

    def _ended(self, ended: TransferEnded) -> None:
        facts = self._running.pop(ended.transfer_id, None)
        for command_id in self._waiting.pop(_wanted(ended.transfer_id), ()) if facts is not None else ():
            state: journal.FinalState = "failed" if ended.failure else "done"
            self._journal.tell(journal.Outcome(command_id, state, ended.failure, ended.data))
        if facts is not None and ended.failure:
            text = ": ".join(part for part in (ended.failure.what, ended.failure.why) if part)
            self._journal.tell(journal.Emit("model.failed", "error", f"model/{facts.model}", text))
        elif facts is not None:
            text = f"{ended.data.get('size_bytes')} bytes, verified"
            self._journal.tell(journal.Emit("model.done", "info", f"model/{facts.model}", text))
        self._tell_transfers()
        self._observe_models()
        self._start_next()

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
            wrong = [(version, names) for version, names in ended.value if names]
            data = {"versions": len(ended.value), "damaged_files": sum(len(names) for _, names in wrong)}
            for version, names in wrong:
                what = f"{version.model} {version.commit[:12]} is damaged: {words.named(names)}"
                failure = Failure(
                    code="E_DAMAGED", what=what, why="not what was proven", do="pull it again: that mends it"
                )
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
        self.context.after(self._settings.collect_every_s, _Look())
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
            self._log.error("collection_failed", why=ended.error)
            if command_id is not None:
                self._journal.tell(journal.Outcome(command_id, "failed", failure))
            return
        plan = ended.value
        assert isinstance(plan, Plan)
        if not command.dry_run:
            self._tell_collected(plan.doomed)
        if command_id is not None:
            data: Data = {
                "frees_bytes": plan.frees_bytes,
                "short_bytes": plan.short_bytes,
                "versions": len(plan.doomed),
                "dry_run": int(command.dry_run),
            }
            data |= words.space_data(self._store.space())
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
        self._tell(TransfersChanged((*self._running.values(), *more)))

    def _tell(self, message: object) -> None:
        for handle in self._observers:
            try:
                handle.tell(message)
            except SupervisionError as error:
                self._log.debug("not_told", to=handle.path, why=str(error))


def _wanted(transfer_id: str) -> str:
    """What a transfer brings: equal for equal sources."""
    return transfer_id.partition("-")[0]
