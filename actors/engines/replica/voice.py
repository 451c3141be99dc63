"""What one engine says to the others; who cannot be told is a line of the log, never a fault of the engine."""

from collections.abc import Mapping
from typing import Any, Literal

import structlog
from structlog.contextvars import bind_contextvars, unbind_contextvars

from actors.engines.messages import Answered, Changed
from actors.facts import EngineFacts
from actors.journal import messages as journal
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from protocol.messages.reports import Failure

Ending = Literal["done", "failed", "cancelled"]


class Voice:
    """To the manager and the journal."""

    def __init__(self, name: str, manager: Handle, journal_handle: Handle, command_id: str) -> None:
        self._name, self._manager, self._journal = name, manager, journal_handle
        self.waiting: list[str] = []
        """Commands that are answered when the engine is ready or cannot be."""
        self._carried = ""
        self.wait(command_id)
        self.log = structlog.get_logger().bind(actor="engine", engine=name)

    def show(self, facts: EngineFacts) -> None:
        """The engine's new facts."""
        self.log.info("engine.state", state=facts.state, why=facts.why)
        self.to_manager(Changed(facts))

    def answer(
        self, command_id: str, state: Ending, error: Failure | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        """What became of a command."""
        self._tell(self._journal, journal.Outcome(command_id, state, error, data or {}))
        self.to_manager(Answered(self._name, command_id))
        if command_id == self._carried:
            self._carried = ""
            unbind_contextvars("command_id")

    def carry(self, command_id: str) -> None:
        """From now on every line of the log is a part of this command, those of tasks that begin meanwhile too."""
        self._carried = command_id
        bind_contextvars(command_id=command_id)

    def wait(self, command_id: str) -> bool:
        """This command waits for the engine; False when it did already, or is none."""
        new = bool(command_id) and command_id not in self.waiting
        if new:
            self.waiting.append(command_id)
            self.carry(command_id)
        return new

    def answer_all(self, state: Ending, error: Failure | None, data: Mapping[str, Any]) -> None:
        """What became of every command that waits."""
        for command_id in self.waiting:
            self.answer(command_id, state, error, data)
        self.waiting = []

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far it is, in bytes, for whoever waits; called from a task."""
        for command_id in tuple(self.waiting):
            self._tell(self._journal, journal.Progress(command_id, stage, done, total, "bytes"))

    def emit(
        self,
        kind: str,
        severity: Literal["info", "warning", "error", "critical"],
        text: str,
        **fields: str | float | bool | None,
    ) -> None:
        """An event about the engine."""
        self._tell(self._journal, journal.Emit(kind, severity, f"engine/{self._name}", text, fields))

    def commands_again(self) -> None:
        """Ask for every command on engines that has not ended."""
        self._tell(self._journal, journal.Again("engine"))

    def to_manager(self, message: object) -> None:
        """Tell the manager."""
        self._tell(self._manager, message)

    def _tell(self, handle: Handle, message: object) -> None:
        try:
            handle.tell(message)
        except SupervisionError as error:
            self.log.warning("not_told", to=handle.path, lost=type(message).__name__, why=str(error))
