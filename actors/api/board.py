"""The latest facts of every room, as immutable values: readers never ask an actor."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from actors.facts import AlertsChanged, EnginesChanged, LinkChanged, ModelsChanged, TransfersChanged


class Board:
    """Written by one actor, read by the server's loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = dict.fromkeys(("engines", "models", "transfers", "alerts"), ())
        self._facts["link"] = LinkChanged("unenrolled")
        self._at: dict[str, float] = {}
        self._versions: dict[str, int] = {}
        self.started_at = time.time()

    def put(self, name: str, value: object) -> None:
        """The newest value of that name."""
        with self._lock:
            self._facts[name] = value
            self._at[name] = time.monotonic()
            self._versions[name] = self._versions.get(name, 0) + 1

    def version(self, name: str) -> int:
        """How often it was put."""
        return self._versions.get(name, 0)

    def take(self, message: object) -> bool:
        """Keep a fact that a room told; False when it is none."""
        match message:
            case EnginesChanged(engines=engines):
                self.put("engines", engines)
            case ModelsChanged(models=models):
                self.put("models", models)
            case TransfersChanged(transfers=transfers):
                self.put("transfers", transfers)
            case AlertsChanged(alerts=alerts):
                self.put("alerts", alerts)
            case LinkChanged():
                self.put("link", message)
            case _:
                return False
        return True

    def get(self, name: str) -> Any:
        """The newest value, as plain data."""
        with self._lock:
            return plain(self._facts.get(name))

    def fact(self, name: str) -> Any:
        """The newest value as it was put: frozen, never to be changed."""
        with self._lock:
            return self._facts.get(name)

    def age_s(self, name: str) -> float | None:
        """Seconds since it was put."""
        at = self._at.get(name)
        return None if at is None else time.monotonic() - at


def plain(value: Any) -> Any:
    """Frozen data as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


Reader = Callable[[], Any]
"""Gives plain data; called in the server's loop, so it must not block for long."""
