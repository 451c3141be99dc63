"""The download manager: one transfer for each model that is asked for, however often; commands on the store."""

from collections import deque
from collections.abc import Callable

import structlog

from actors.downloads.bodies.api import Bring
from actors.downloads.errors import DownloadError
from actors.downloads.messages import LeasesChanged, TransferChanged, TransferEnded
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import TransferActor
from actors.facts import ModelsChanged, TransferFacts, TransfersChanged
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, StartChild
from actors.supervision.spec import Backoff, ChildSpec, Limit, Restart
from config.downloads import DownloadsSettings
from protocol.keys import digest
from protocol.messages.base import Command
from protocol.messages.commands import ModelPin, ModelPull, ModelRemove, ModelUse
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure

ID_CHARS = 16


class DownloadManagerActor(Actor):
    """See the module. `allowed` is the machine's policy on sources."""

    def __init__(
        self,
        *,
        settings: DownloadsSettings,
        store: ModelStore,
        bring: Bring,
        allowed: Callable[[str], bool],
        transfers: Handle,
        journal_handle: Handle,
        observers: tuple[Handle, ...],
    ) -> None:
        self._settings, self._store, self._allowed = settings, store, allowed
        self._bring = bring
        self._transfers, self._journal, self._observers = transfers, journal_handle, observers
        self._running: dict[str, TransferFacts] = {}
        self._waiting: dict[str, list[str]] = {}
        self._queue: deque[tuple[str, ModelSource]] = deque()
        self._log = structlog.get_logger().bind(actor="downloads")

    def on_start(self) -> object:
        """Say what is there. Pulls that were not finished come again from the journal."""
        self._observe_models()
        return None

    def on_message(self, message: object) -> object:
        """One command, or one word of a transfer."""
        match message:
            case journal.Execute(command_id=command_id, command=command):
                self._execute(command_id, command)
            case TransferChanged(facts=facts):
                self._changed(facts)
            case TransferEnded():
                self._ended(message)
            case ChildReply(ok=False, request="start", id=name, error=error, detail=detail):
                if error not in {"already_started", "already_present"}:
                    failure = Failure(
                        code="E_INTERNAL", what="the transfer did not start", why=f"{error} {detail}"[:2_000]
                    )
                    self._ended(TransferEnded(name, failure, {}))
            case ChildReply():
                pass
            case LeasesChanged():
                self._observe_models()
            case _:
                self.context.unhandled(message)
        return None

    def _execute(self, command_id: str, command: Command) -> None:
        self._journal.tell(journal.Running(command_id))
        try:
            match command:
                case ModelPull(source=source):
                    self._pull(command_id, source)
                    return
                case ModelRemove():
                    count = self._store.remove(command.model, command.revision, force=command.force)
                    data: dict[str, str | int] = {"removed": count}
                case ModelPin():
                    self._store.pin(command.model, command.revision, pinned=command.pinned)
                    data = {}
                case ModelUse():
                    self._store.use(command.model, command.revision)
                    data = {}
                case _:
                    raise DownloadError("E_UNKNOWN_OP", f"{command.TYPE} cannot be done yet", "", "update the agent")  # noqa: TRY301  # one way to refuse
        except DownloadError as error:
            self._journal.tell(journal.Outcome(command_id, "failed", error.failure()))
        else:
            self._journal.tell(journal.Outcome(command_id, "done", None, data))
            self._observe_models()

    def _pull(self, command_id: str, source: ModelSource) -> None:
        if not self._allowed(source.uri):
            raise DownloadError(
                "E_POLICY.url", f"{source.uri} is not allowed on this machine", "", "allow it in policy.sources"
            )
        transfer_id = digest(source.model_dump_json().encode()).hex()[:ID_CHARS]
        waiting = self._waiting.setdefault(transfer_id, [])
        if command_id not in waiting:
            waiting.append(command_id)
        if len(waiting) > 1:
            return  # the same model is on its way: one transfer answers every command
        self._queue.append((transfer_id, source))
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and len(self._running) < self._settings.transfers_max:
            transfer_id, source = self._queue.popleft()
            self._running[transfer_id] = TransferFacts(transfer_id, source.model, source.revision, "starting", 0, 0)
            self._transfers.tell(StartChild(self._spec(transfer_id, source), self.context.handle))

    def _spec(self, transfer_id: str, source: ModelSource) -> ChildSpec:
        settings, store, bring, manager = self._settings, self._store, self._bring, self.context.handle

        def factory() -> TransferActor:
            return TransferActor(
                transfer_id=transfer_id, source=source, settings=settings, store=store, bring=bring, manager=manager
            )

        return ChildSpec(
            transfer_id, factory, restart=Restart.TRANSIENT, backoff=Backoff(max_s=10.0), limit=Limit(5, 600.0)
        )

    def _changed(self, facts: TransferFacts) -> None:
        if facts.transfer_id in self._running:
            self._running[facts.transfer_id] = facts
            for command_id in self._waiting.get(facts.transfer_id, ()):
                self._journal.tell(
                    journal.Progress(command_id, facts.state, facts.done_bytes, facts.total_bytes, "bytes")
                )
            self._tell(TransfersChanged(tuple(self._running.values())))

    def _ended(self, ended: TransferEnded) -> None:
        facts = self._running.pop(ended.transfer_id, None)
        state = "failed" if ended.failure else "done"
        for command_id in self._waiting.pop(ended.transfer_id, ()):
            self._journal.tell(
                journal.Outcome(command_id, "failed" if ended.failure else "done", ended.failure, ended.data)
            )
        if facts is not None:
            text = str(ended.failure.what) if ended.failure else f"{ended.data.get('size_bytes')} bytes, verified"
            severity = "error" if ended.failure else "info"
            subject = f"model/{facts.model}"
            self._journal.tell(
                journal.Emit(f"model.{state}", "error" if severity == "error" else "info", subject, text)
            )
        self._tell(TransfersChanged(tuple(self._running.values())))
        self._observe_models()
        self._start_next()

    def _observe_models(self) -> None:
        self._tell(ModelsChanged(self._store.models()))

    def _tell(self, message: object) -> None:
        for handle in self._observers:
            try:
                handle.tell(message)
            except SupervisionError as error:
                self._log.debug("not_told", to=handle.path, why=str(error))
