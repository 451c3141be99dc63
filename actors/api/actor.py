"""The API's actor: keeps the board, owns the server's loop thread. It may give up: nothing that serves needs it."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from actors.clock import WallClock, system_wall_clock
from actors.supervision.actor import Actor
from actors.supervision.messages import TaskDone, TaskFailed
from config.api import ApiSettings

from .board import Board
from .charted import charted
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
        wall: WallClock = system_wall_clock,
    ) -> None:
        self._board, self._history, self._wall = board, readers.history, wall
        self._server = ApiServer(settings, run_dir, board, readers)
        self._log = structlog.get_logger().bind(actor="api")

    def on_start(self) -> object:
        """Open the doors; a port that is taken is a failure of this actor alone."""
        self.context.task("server", self._server.run, self._ready, cancel=self._server.stop)
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
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"the server ended: {message}")
            case _ if self._board.take(message):
                pass
            case _:
                self.context.unhandled(message)
        return None

    def _chart(self, snapshot: object) -> None:
        """Parts of a snapshot come several times a second; the charts take one a step."""
        now_s = self.context.now()
        if self._history.wants(now_s):
            self._history.add(now_s, self._wall(), charted(snapshot))
