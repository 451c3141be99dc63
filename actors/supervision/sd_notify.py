"""What systemd is told, over its datagram socket. Never raises, never blocks; what is not sent is counted.

The protocol is the stable interface of sd_notify(3): lines of NAME=value in UTF-8, one datagram a message.
"""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the socket in NOTIFY_SOCKET: a path or "@" for the abstract namespace. Silent without one."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.dropped = 0
        """Messages that could not be sent."""
        self.ping_every_s = _ping_every_s(environ)
        """Time between two watchdog pings, a third of systemd's limit; None when it expects none of us."""

    def ready(self, status: str = "") -> bool:
        """The tree is up."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(*_status(text))

    def reloading(self, now_s: float) -> bool:
        """A reload begins at `now_s` (monotonic seconds); `ready` ends it."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={int(now_s * 1e6)}")

    def stopping(self, status: str = "") -> bool:
        """The daemon ends."""
        return self._send("STOPPING=1", *_status(status))

    def extend_timeout(self, seconds: float) -> bool:
        """Starting or stopping goes on, and needs this much more."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def ping(self) -> bool:
        """The watchdog's sign of life; only to be sent when the tree is healthy."""
        return self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            self.dropped += 1
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _ping_every_s(environ: Mapping[str, str]) -> float | None:
    micros, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not micros.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 3e6 or None
