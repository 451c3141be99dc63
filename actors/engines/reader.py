"""What people ask of one engine: its log and its black box. Blocking; called from threads of the local API."""

import json
from collections.abc import Mapping
from typing import Any

from actors.journal import messages as journal
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle

from .containers_api import Containers
from .errors import DockerError

JOURNAL_S = 5.0


class EngineReader:
    """`box` and `log` of an engine by its name, and whether Docker answers."""

    def __init__(self, containers: Containers, journal_handle: Handle, agent_id: str) -> None:
        self._containers, self._journal, self._agent_id = containers, journal_handle, agent_id

    def box(self, name: str) -> list[Mapping[str, Any]]:
        """Its last deaths, oldest first: when, what, why, what to do, first and last words."""
        try:
            raw = self._journal.call(journal.GetState(f"engine.box.{name}"), timeout_s=JOURNAL_S)
        except SupervisionError:
            return []
        return list(json.loads(raw)) if isinstance(raw, bytes) and raw else []

    def log(self, name: str, lines: int) -> Mapping[str, Any]:
        """The last lines of each of its containers, newest generation last; `why` says what is missing."""
        try:
            found = sorted(self._containers.find(self._agent_id, name), key=lambda one: one.generation)
            logs = [
                {"container": one.name, "running": one.running, "lines": self._containers.logs(one.container_id, lines)}
                for one in found
            ]
        except DockerError as error:
            return {"logs": [], "why": str(error)}
        return {
            "logs": logs,
            "why": "" if logs else f"engine {name} has no container now; its black box has last words",
        }

    def docker(self) -> str:
        """Why Docker does not answer; empty when it does."""
        try:
            self._containers.ping()
        except DockerError as error:
            return str(error)
        return ""
