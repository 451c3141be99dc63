"""The API's actor: keeps the board, owns the server's loop thread. It may give up: nothing that serves needs it.

Since it knows the facts of every room, it is also who examines the agent when the master asks (`agent.diagnose`).
"""

from dataclasses import dataclass
from pathlib import Path

import structlog

from actors.clock import WallClock, system_wall_clock
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from config.api import ApiSettings
from protocol.messages.commands import AgentDiagnose
from protocol.messages.reports import Failure

from .board import Board
from .charted import charted
from .diagnosis import Diagnosis, diagnose
from .server import ApiServer, Readers


@dataclass(frozen=True, slots=True)
class Put:
    """The newest value of a name that is no room's fact (snapshot, agent)."""

    name: str
    value: object


class ApiActor(Actor):
    """See the module."""

    def __init__(
        self,
        *,
        settings: ApiSettings,
        run_dir: Path,
        board: Board,
        readers: Readers,
        journal_handle: Handle | None = None,
        wall: WallClock = system_wall_clock,
    ) -> None:
        self._readers, self._journal = readers, journal_handle
        self._diagnoses: dict[int, str] = {}
        """Task -> the command that asked for it."""
        self._board, self._history, self._wall = board, readers.history, wall
        self._server = ApiServer(settings, run_dir, board, readers)
        self._log = structlog.get_logger().bind(actor="api")

    def on_start(self) -> object:
        """Open the doors; a port that is taken is a failure of this actor alone."""
        self.context.task("server", self._server.run, self._ready, cancel=self._server.stop)
        self._tell(journal.Again(AgentDiagnose.TYPE))
        return None

    def _ready(self) -> None:
        self._log.info("api.serving", address=self._server.address)

    def on_message(self, message: object) -> object:
        """Facts of the rooms."""
        match message:
            case Put(name=name, value=value):
                self._board.put(name, value)
                if name == "snapshot":
                    self._chart(value)
            case journal.Execute(command_id=command_id, command=AgentDiagnose()):
                self._begin(command_id)
            case TaskDone() | TaskFailed() if message.task_id in self._diagnoses:
                self._diagnosed(self._diagnoses.pop(message.task_id), message)
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"the server ended: {message}")
            case _ if self._board.take(message):
                pass
            case _:
                self.context.unhandled(message)
        return None

    def _begin(self, command_id: str) -> None:
        """Docker and the journal are asked, each within its deadline: in a thread, while facts go on coming."""
        if command_id in self._diagnoses.values():
            return
        self._tell(journal.Running(command_id))
        task = self.context.task("diagnosis", self._look)
        self._diagnoses[task.id] = command_id

    def _look(self) -> Diagnosis:
        readers = self._readers
        return diagnose(self._board, readers.tree(), readers.events(), readers.engine)

    def _diagnosed(self, command_id: str, ended: TaskDone | TaskFailed) -> None:
        if isinstance(ended, TaskDone) and isinstance(ended.value, Diagnosis):
            outcome = journal.Outcome(command_id, "done", None, ended.value.data, ended.value.rows)
        else:
            why = str(ended)[:300]
            failure = Failure(code="E_INTERNAL", what="the agent could not examine itself", why=why, do="read its log")
            outcome = journal.Outcome(command_id, "failed", failure)
        self._tell(outcome)

    def _tell(self, message: object) -> None:
        if self._journal is None:
            return
        try:
            self._journal.tell(message)
        except SupervisionError as error:
            self._log.warning("not_told", to=self._journal.path, why=str(error))

    def _chart(self, snapshot: object) -> None:
        """Parts of a snapshot come several times a second; the charts take one a step."""
        now_s = self.context.now()
        if self._history.wants(now_s):
            self._history.add(now_s, self._wall(), charted(snapshot))
