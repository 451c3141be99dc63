"""Ports for engines: from the range, unique here, and free on the machine at this moment."""

import socket
import threading
from collections.abc import Callable

from config.engines import EnginesSettings

from .errors import RefusedError


class Ports:
    """Who has which port. Thread-safe: engines are started side by side."""

    def __init__(self, settings: EnginesSettings, free: Callable[[str, int], bool] | None = None) -> None:
        self._settings, self._is_free = settings, free or is_free
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    def keep(self, engine: str, port: int) -> None:
        """A container that is there already has this port."""
        with self._lock:
            self._taken[engine] = port

    def free(self, engine: str) -> None:
        """The engine needs its port no more."""
        with self._lock:
            self._taken.pop(engine, None)

    def reserve(self, engine: str, wanted: int | None) -> int:
        """A port that nobody has; a wanted one is checked like every other."""
        with self._lock:
            port = self._choose({port for other, port in self._taken.items() if other != engine}, wanted)
            self._taken[engine] = port
        return port

    def _choose(self, used: set[int], wanted: int | None) -> int:
        settings = self._settings
        address = str(settings.publish_address)
        for port in [wanted] if wanted is not None else range(settings.port_min, settings.port_max + 1):
            if port not in used and self._is_free(address, port):
                return port
        if wanted is not None:
            raise RefusedError(
                "E_POLICY.net", f"port {wanted} is taken", "another program listens there", "take another"
            )
        span = f"{settings.port_min}..{settings.port_max}"
        raise RefusedError("E_BUSY", f"no port of {span} is free", "", "widen engines.port_min and engines.port_max")


def is_free(address: str, port: int) -> bool:
    """Whether the address can be bound now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
