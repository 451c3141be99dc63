"""Asks for bytes of a file: the connections of one worker, kept open by origin; redirects, each judged anew."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from actors.downloads.address import Address, origin_of, redirected, split
from actors.downloads.dialling import Unwanted, connect
from actors.downloads.errors import SourceError

from .answers import REDIRECTS
from .http1 import Answer, BrokenError, Connection

REDIRECTS_MAX = 5
KEPT_MAX = 4
"""Idle connections of one worker: to the hub, to its content servers."""
Checked = Callable[[str, Unwanted], Sequence[Address]]
"""From an address to those that its name has, each allowed; DownloadError when one is not, or it is unwanted."""


@dataclass(slots=True)
class Asker:
    """Owned by one worker; only `kill` may be called by another thread."""

    checked: Checked
    tls: Callable[[], ssl.SSLContext]
    origin: str
    """Who alone gets `credentials`: scheme://host:port."""
    credentials: Mapping[str, str]
    silence_s: float
    current: Connection | None = None
    _kept: dict[str, Connection] = field(default_factory=dict)
    _killed: bool = False
    """The running request is unwanted."""

    def get(self, url: str, first: int, last: int | None) -> tuple[Answer, str]:
        """The answer to a request for bytes first..last (None: for the whole), and the address that gave it.

        `current` is then the connection that the body comes by. OSError, DownloadError.
        """
        self._killed = False
        for _ in range(REDIRECTS_MAX + 1):
            answer = self._once(url, first, last)
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                return answer, url
            self.leave()
            url = redirected(url, answer.headers["location"])
        raise SourceError("E_SOURCE", f"{split(url)[1]} redirects in circles", "", "check the source")

    def _once(self, url: str, first: int, last: int | None) -> Answer:
        origin, parts = origin_of(url), urlsplit(url)
        headers = [
            ("Host", parts.netloc),
            ("User-Agent", "mosalamaagent"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        ]
        if last is not None:
            headers.append(("Range", f"bytes={first}-{last}"))
        if origin == self.origin:
            headers += list(self.credentials.items())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = self._kept.pop(origin, None)
        if kept is not None:
            self.current = kept
            try:
                return kept.ask(target, headers)
            except OSError:  # it was closed while it was idle: a new one is asked, once
                self.leave(broken=True)
                if kept.killed:
                    raise
        self.current = self._connect(url)
        if self._killed:  # before it was there to be killed
            raise BrokenError("it is not wanted any more")
        return self.current.ask(target, headers)

    def _connect(self, url: str) -> Connection:
        scheme, host, _ = split(url)
        raw = connect(self.checked(url, self._unwanted), self.silence_s, self._unwanted)
        return Connection(raw, self.tls() if scheme == "https" else None, host, self.silence_s, origin_of(url))

    def leave(self, *, broken: bool = False) -> None:
        """The answer's body is read, or not wanted: keep the connection if it may be used again."""
        connection, self.current = self.current, None
        if connection is None:
            return
        if not broken and connection.reusable() and len(self._kept) < KEPT_MAX:
            self._kept[connection.origin] = connection
        else:
            connection.close()

    def _unwanted(self) -> bool:
        return self._killed

    def kill(self) -> None:
        """From another thread: whoever waits for a name, a connection or bytes gets an OSError."""
        self._killed = True
        connection = self.current
        if connection is not None:
            connection.kill()

    def close(self) -> None:
        """All of them."""
        self.leave(broken=True)
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()
