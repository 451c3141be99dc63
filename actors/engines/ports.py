"""Ports for engines: from the range, unique here, and free on the machine at this moment."""

import socket
from collections.abc import Iterable

from config.engines import EnginesSettings

from .errors import RefusedError


def choose_port(settings: EnginesSettings, taken: Iterable[int], wanted: int | None) -> int:
    """A port that nobody has; a wanted one is checked like every other."""
    used = set(taken)
    address = str(settings.publish_address)
    candidates = [wanted] if wanted is not None else range(settings.port_min, settings.port_max + 1)
    for port in candidates:
        if port not in used and is_free(address, port):
            return port
    if wanted is not None:
        raise RefusedError(
            "E_POLICY.net", f"port {wanted} is taken", "another program listens there", "take another port"
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
