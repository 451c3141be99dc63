"""Brings one file: ranged, resumed, hashed from memory while it is written. Plain threads, the standard library.

Every answer is checked before its bytes count: status, range, total, encoding. A signed address that expires is asked
for again at the source; credentials go to the source's own host only.
"""

import contextlib
import http.client
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from config.downloads import DownloadsSettings

from .address import check_address, redirected
from .errors import DownloadError, SourceError, SpaceError, TransferError, WrongBytesError
from .hashing import Hash, begin, check
from .manifest import RemoteFile

BLOCK_BYTES = 1 << 20
REDIRECTS_MAX = 5
BACKOFF_S = (0.2, 10.0)
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
EXPIRED_STATUSES = frozenset({401, 403, 410})
Progress = Callable[[int], None]
"""Told of bytes that are on disk (negative when bytes turned out to be wrong)."""


class Cancelled(Exception):  # noqa: N818  # an answer to a request, not an error
    """The transfer was told to end; what is there is kept for the next time."""


class _Pinned(http.client.HTTPSConnection):
    """Connects to the address that was checked, and verifies the name that was meant."""

    def __init__(self, host: str, address: tuple[str, int], timeout: float) -> None:
        super().__init__(host, address[1], timeout=timeout, context=ssl.create_default_context())
        self._address = address

    def connect(self) -> None:
        raw = socket.create_connection(self._address, self.timeout)
        self.sock = self._context.wrap_socket(raw, server_hostname=self.host)  # type: ignore[attr-defined]  # of the base


class FileFetch:
    """One file of one version, into `target`; `fetch` may be repeated and goes on where it was."""

    def __init__(
        self,
        settings: DownloadsSettings,
        file: RemoteFile,
        target: Path,
        headers: Mapping[str, str],
        progress: Progress,
        cancelled: threading.Event,
    ) -> None:
        self._settings, self._file, self._target = settings, file, target
        self._headers, self._progress, self._cancelled = headers, progress, cancelled
        self._source_host = urlsplit(file.urls[0]).netloc

    def fetch(self) -> None:
        """Return when the file is complete, proven and durable."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        partial = self._target.with_name(self._target.name + ".part")
        if self._target.exists():
            self._progress(self._file.size_bytes)
            return
        tries, wrong = 0, 0
        while True:
            had = partial.stat().st_size if partial.exists() else 0
            try:
                self._attempt(partial, self._file.urls[wrong % len(self._file.urls)])
                break
            except WrongBytesError:
                wrong += 1
                self._progress(-partial.stat().st_size)
                partial.unlink(missing_ok=True)
                if wrong > len(self._file.urls):
                    raise
            except DownloadError as error:
                if not error.retry:
                    raise
                got = partial.stat().st_size if partial.exists() else 0
                tries = 0 if got > had else tries + 1
                if tries >= self._settings.tries:
                    raise
                self._wait(tries)
        partial.rename(self._target)

    def _wait(self, tries: int) -> None:
        limit = min(BACKOFF_S[1], BACKOFF_S[0] * 2.0**tries)
        if self._cancelled.wait(random.uniform(limit / 2, limit)):  # noqa: S311  # spreads retries, guards nothing
            raise Cancelled

    def _attempt(self, partial: Path, url: str) -> None:
        state = begin(self._file)
        with partial.open("ab", buffering=0) as out:
            have = out.tell()
            if have > self._file.size_bytes:
                raise WrongBytesError("E_WRONG_BYTES", f"{self._file.name} has too many bytes", retry=True)
            self._rehash(partial, state, have)
            if have < self._file.size_bytes:
                self._receive(url, out.fileno(), state, have)
            check(self._file, state)
            os.fsync(out.fileno())

    def _rehash(self, partial: Path, state: Hash, have: int) -> None:
        """What was brought before counts only as far as it can be proven again: the whole is checked at the end."""
        if not have:
            return
        self._progress(0)
        with partial.open("rb") as before:
            while block := before.read(BLOCK_BYTES):
                state.update(block)

    def _receive(self, url: str, out: int, state: Hash, have: int) -> None:
        response, connection = self._open(url, have)
        with contextlib.closing(connection):
            left = self._file.size_bytes - have
            buffer = memoryview(bytearray(BLOCK_BYTES))
            while left:
                if self._cancelled.is_set():
                    raise Cancelled
                try:
                    count = response.readinto(buffer[: min(BLOCK_BYTES, left)])
                except (OSError, http.client.HTTPException) as error:
                    raise self._broken(str(error) or type(error).__name__) from error
                if not count:
                    raise self._broken(f"{left} bytes are missing")
                self._write(out, buffer[:count])
                state.update(buffer[:count])
                left -= count
                self._progress(count)

    def _write(self, out: int, block: memoryview) -> None:
        try:
            while block:
                block = block[os.write(out, block) :]
        except OSError as error:
            raise SpaceError(
                "E_SPACE", f"{self._file.name} cannot be written", str(error), "free space in the model store"
            ) from error

    def _broken(self, why: str) -> TransferError:
        return TransferError("E_NETWORK", f"the transfer of {self._file.name} broke", why, "", retry=True)

    # -- one request -----------------------------------------------------------------------------------------

    def _open(self, url: str, have: int) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """The response whose body begins at byte `have`, after redirects."""
        for _ in range(REDIRECTS_MAX):
            response, connection = self._request(url, have)
            if response.status in {301, 302, 303, 307, 308}:
                location = response.getheader("Location") or ""
                connection.close()
                url = redirected(url, location)
                continue
            try:
                self._check(response, url, have)
            except DownloadError:
                connection.close()
                raise
            return response, connection
        raise SourceError("E_SOURCE", f"{self._file.name} is redirected in circles", "", "check the source")

    def _request(self, url: str, have: int) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        address = check_address(url, self._settings.allow_private_hosts)
        parts = urlsplit(url)
        timeout = self._settings.read_timeout_s
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = _Pinned(parts.hostname or "", address, timeout)
        else:
            connection = http.client.HTTPConnection(*address, timeout=timeout)
        headers = {"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "mosalamaagent"}
        headers["Range"] = f"bytes={have}-{self._file.size_bytes - 1}"
        if parts.netloc == self._source_host:
            headers |= dict(self._headers)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("GET", path or "/", headers=headers)
            return connection.getresponse(), connection
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._broken(str(error) or type(error).__name__) from error

    def _check(self, response: http.client.HTTPResponse, url: str, have: int) -> None:
        status, name = response.status, self._file.name
        if status in RETRY_STATUSES or (status in EXPIRED_STATUSES and urlsplit(url).netloc != self._source_host):
            self._obey(response.getheader("Retry-After"))
            raise TransferError("E_NETWORK", f"{name}: the server answered {status}", "", "", retry=True)
        if status in EXPIRED_STATUSES | {404}:
            raise SourceError("E_SOURCE", f"{name} cannot be had", f"the source answered {status}", "check access")
        if response.getheader("Content-Encoding", "identity") != "identity":
            raise SourceError(
                "E_SOURCE", f"{name} comes compressed", "its bytes could not be proven", "take another mirror"
            )
        total = self._file.size_bytes
        if status == 206 and response.getheader("Content-Range") == f"bytes {have}-{total - 1}/{total}":
            return
        if status == 200 and have == 0 and response.getheader("Content-Length") in {None, str(total)}:
            return
        what = f"{name}: the server answered {status} for bytes {have} to {total - 1}"
        raise TransferError("E_NETWORK", what, response.getheader("Content-Range") or "without a range", "", retry=True)

    def _obey(self, retry_after: str | None) -> None:
        if retry_after and retry_after.isdigit() and self._cancelled.wait(min(float(retry_after), 60.0)):
            raise Cancelled


def meter(tell: Callable[[int, float], None], interval_s: float) -> Progress:
    """A thread-safe sum of bytes that calls `tell(bytes, bytes a second)` at most each `interval_s`."""
    lock, begun = threading.Lock(), time.monotonic()
    state = {"bytes": 0, "told": 0.0}

    def add(count: int) -> None:
        with lock:
            state["bytes"] += count
            now = time.monotonic()
            if now - state["told"] < interval_s:
                return
            state["told"] = now
            done = int(state["bytes"])
        tell(done, done / max(now - begun, 1e-3))

    return add
