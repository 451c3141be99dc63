"""One transfer: resolve, take what is here, bring the rest, publish. A crash of it is resumed, nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import structlog
from structlog.contextvars import bind_contextvars

from actors.downloads.bodies.api import Bring, Cancelled, Control, Progress
from actors.downloads.building import Prepared
from actors.downloads.errors import DownloadError, StoreError
from actors.downloads.local import copy_in, is_local
from actors.downloads.manifest import Manifest, Staging
from actors.downloads.messages import Cancel, Collected, TransferChanged, TransferEnded
from actors.downloads.proof import Read
from actors.downloads.store import ModelStore
from actors.downloads.transfer.sizing import sized
from actors.downloads.transfer.voice import Voice
from actors.facts import TransferFacts
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Failure

BUSY_S = 0.5
"""Between two looks whether another transfer of the same version has ended."""
SHOW_S = 0.25
Resolve = Callable[[ModelSource, Read], Manifest]


class TransferActor(Actor):
    """See the module. `resolve` finds out what a source consists of, `bring` brings files; both block."""

    def __init__(
        self,
        *,
        transfer_id: str,
        source: ModelSource,
        store: ModelStore,
        resolve: Resolve,
        bring: Bring,
        manager: Handle,
        command_id: str = "",
    ) -> None:
        """`command_id` is of the command that began it; others may have come to wait for it since."""
        self._id, self._source = transfer_id, source
        self._store, self._resolve, self._bring_files, self._manager = store, resolve, bring, manager
        self._control = Control()
        self._failure: Failure | None = None
        self._voice = Voice()
        if command_id:
            bind_contextvars(command_id=command_id)  # for the lines of this actor and of its threads
        self._log = structlog.get_logger().bind(actor="transfer", transfer=transfer_id)

    def on_start(self) -> object:
        """Begin at once; everything that blocks is in one task thread and those that it owns."""
        self._log.info("transfer.began", model=self._source.model)
        self._ended = self.context.flag()
        self.context.task("bring", self._bring, cancel=self._end_soon)
        return None

    def on_message(self, message: object) -> object:
        """The end of the task, or a wish to end it."""
        match message:
            case TaskDone(value=dict() as data):
                self._end(None, data)
            case TaskFailed(kind="Cancelled"):
                self._end(Failure(code="E_CANCELLED", what=f"{self._source.uri} was cancelled"), {})
            case TaskFailed(error=error, traceback=trace):
                if self._failure is None:
                    raise RuntimeError(f"the transfer failed: {error}\n{trace}")
                self._end(self._failure, {})
            case Cancel():
                self._end_soon()
            case _:
                self.context.unhandled(message)
        return None

    def _end_soon(self) -> None:
        self._control.cancel()
        self._ended.set()

    def _end(self, failure: Failure | None, data: dict[str, str | int]) -> None:
        self._log.info("transfer.ended", state="done" if failure is None else "failed", why=_why(failure))
        self._tell(TransferEnded(self._id, failure, data))
        self.context.stop("the transfer ended")

    # -- in the task's thread --------------------------------------------------------------------------------

    def _bring(self) -> dict[str, str | int]:
        try:
            return self._brought()
        except DownloadError as error:
            self._failure = error.failure()
            raise
        except OSError as error:
            what = f"the model store cannot be written for {self._source.uri}"
            do = "look at the disk of downloads.models_dir"
            self._failure = StoreError("E_STORE", what, str(error), do).failure()
            raise

    def _brought(self) -> dict[str, str | int]:
        self._show(Progress("resolving", 0, 0))
        manifest = self._resolve(self._source, self._counted("resolving", 0, 0))
        staging = self._begun(manifest)
        try:
            staging = sized(staging, self._store, self._bring_files, self._control, self._show)
            manifest = staging.manifest
            path = self._built(staging)
        finally:
            self._store.end(manifest)
        self._show(Progress("published", manifest.size_bytes, manifest.size_bytes))
        return {
            "model": manifest.model,
            "revision": manifest.commit,
            "path": str(path),
            "size_bytes": manifest.size_bytes,
            "files": len(manifest.files),
        }

    def _begun(self, manifest: Manifest) -> Staging:
        """The staging of this version; another transfer of it, with other patterns perhaps, ends first."""
        while (staging := self._store.begin(manifest)) is None:
            self._show(Progress("waiting", 0, manifest.size_bytes, why="another transfer brings this version"))
            if self._ended.wait(BUSY_S):
                raise Cancelled
        return staging

    def _built(self, staging: Staging) -> Path:
        prepared, doomed = self._store.prepare(staging, self._read)
        if doomed:
            self._tell(Collected(doomed))
        if prepared.lacking and all(is_local(file) for file in prepared.lacking):
            self._copy(prepared)
        elif prepared.lacking:
            self._bring_files(staging, prepared.lacking, self._control, self._show)
        total = staging.manifest.size_bytes
        self._show(Progress("verifying", total, total))
        return self._store.publish(staging, self._read)

    def _read(self, _count: int) -> None:
        """Told of each block of a file that is read again."""
        if self._control.cancelled:
            raise Cancelled

    def _copy(self, prepared: Prepared) -> None:
        """Files of this machine: nothing of a network is needed."""
        read = self._counted("copying", prepared.present_bytes, prepared.staging.manifest.size_bytes)
        for file in prepared.lacking:
            copy_in(file, prepared.staging, read)

    def _counted(self, state: str, first: int, total: int) -> Read:
        """Who counts bytes of this machine, shows how far it is, and ends it when that is wanted. 0: nobody knows."""
        shown_at = begun = self._ended.now()
        done = first

        def read(count: int) -> None:
            nonlocal done, shown_at
            self._read(count)
            done += count
            now = self._ended.now()
            if now - shown_at >= SHOW_S:
                shown_at, rate = now, (done - first) / (now - begun)
                left_s = (total - done) / rate if total and rate else None
                self._show(Progress(state, done, total, rate, left_s))

        return read

    def _show(self, progress: Progress) -> None:
        said = self._voice.line(progress, self._ended.now())
        if said is not None:
            self._log.info("transfer.progress", **said)
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


def _why(failure: Failure | None) -> str:
    return "" if failure is None else f"{failure.code} {failure.what}"
