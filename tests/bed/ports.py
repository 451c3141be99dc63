"""Loopback ports."""

import contextlib
import socket
from contextlib import ExitStack


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now. Whoever can should ask for port 0 instead."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different free TCP ports of 127.0.0.1."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts TCP connections there, within a second."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
