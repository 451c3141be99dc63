"""One transfer: resolve, bring the files, publish. A crash of it is resumed, nothing is lost."""

import structlog

from actors.downloads import sources
from actors.downloads.bodies.api import Bring, Control, Progress
from actors.downloads.errors import DownloadError
from actors.downloads.messages import Cancel, TransferChanged, TransferEnded
from actors.downloads.store import ModelStore
from actors.facts import TransferFacts
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure


class TransferActor(Actor):
    """See the module."""

    def __init__(
        self,
        *,
        transfer_id: str,
        source: ModelSource,
        settings: DownloadsSettings,
        store: ModelStore,
        bring: Bring,
        manager: Handle,
    ) -> None:
        self._id, self._source, self._settings = transfer_id, source, settings
        self._store, self._bring_files, self._manager = store, bring, manager
        self._control = Control()
        self._log = structlog.get_logger().bind(actor="transfer", transfer=transfer_id)

    def on_start(self) -> object:
        """Begin at once; everything that blocks is in one task thread and those that it owns."""
        self.context.task("bring", self._bring, cancel=self._control.cancel)
        return None

    def on_message(self, message: object) -> object:
        """The end of the task, or a wish to end it."""
        match message:
            case TaskDone(value=dict() as data):
                self._end(None, data)
            case TaskFailed(kind="Cancelled"):
                self._end(Failure(code="E_CANCELLED", what=f"{self._source.uri} was cancelled"), {})
            case TaskFailed(kind=kind, error=error, traceback=trace):
                if kind not in {"SourceError", "TransferError", "SpaceError", "WrongBytesError", "DownloadError"}:
                    raise RuntimeError(f"the transfer failed: {error}\n{trace}")
                self._end(self._failure or Failure(code="E_NETWORK", what=error[:4_000]), {})
            case Cancel():
                self._control.cancel()
            case _:
                self.context.unhandled(message)
        return None

    _failure: Failure | None = None

    def _end(self, failure: Failure | None, data: dict[str, str | int]) -> None:
        self._tell(TransferEnded(self._id, failure, data))
        self.context.stop("the transfer ended")

    # -- in the task's thread --------------------------------------------------------------------------------

    def _bring(self) -> dict[str, str | int]:
        try:
            return self._brought()
        except DownloadError as error:
            self._failure = error.failure()
            raise

    def _brought(self) -> dict[str, str | int]:
        self._show(Progress("resolving", 0, 0))
        manifest = sources.resolve(self._settings, self._source)
        if not self._store.has(manifest):
            self._store.reserve(manifest)
            self._bring_files(self._store.staging(manifest), manifest.files, self._control, self._show)
        path = self._store.publish(manifest) if not self._store.has(manifest) else self._store.folder(manifest)
        self._show(Progress("published", manifest.size_bytes, manifest.size_bytes))
        return {
            "model": manifest.model,
            "revision": manifest.commit,
            "path": str(path),
            "size_bytes": manifest.size_bytes,
            "files": len(manifest.files),
        }

    def _show(self, progress: Progress) -> None:
        facts = TransferFacts(
            self._id,
            self._source.model,
            self._source.revision,
            progress.state,
            progress.done_bytes,
            progress.total_bytes,
            progress.rate_bytes_s,
            progress.eta_s,
            progress.why,
        )
        self._tell(TransferChanged(facts))

    def _tell(self, message: object) -> None:
        try:
            self._manager.tell(message)
        except SupervisionError as error:
            self._log.warning("not_told", why=str(error))
