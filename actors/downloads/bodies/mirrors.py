"""The origins of one file: which is asked, how long it is left alone after a fault, when it is given up. No I/O.

The caller's lock guards it; times are monotonic seconds.
"""

import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from actors.downloads.errors import DownloadError, SourceError, TransferError, WrongBytesError
from actors.downloads.manifest import RemoteFile, UnsizedFile

BACKOFF_S = (0.2, 10.0)
RESOLVES_MAX = 3
"""Times that an address may be resolved again without one byte in between."""


@dataclass(slots=True)
class Mirror:
    """One address of a file."""

    base: str
    """The address that stays good."""
    resolved: str = ""
    """Where it redirected to: may be signed, and expire."""
    resolves: int = 0
    etag: str = ""
    ranges: bool = True
    """Whether it gives ranges."""
    failures: int = 0
    """In a row, without a byte in between."""
    not_before: float = 0.0
    given_up: DownloadError | None = None
    """Why it is asked no more."""

    @property
    def address(self) -> str:
        """What is asked now."""
        return self.resolved or self.base

    @property
    def tag(self) -> str:
        """Names the origin and the version of its bytes."""
        return f"{zlib.crc32(f'{self.base} {self.etag}'.encode()):08x}"

    def progressed(self) -> None:
        """Bytes came."""
        self.failures = self.resolves = 0

    def fail(self, started: float, now: float, wait_s: float = 0.0) -> None:
        """A request that began at `started` failed. Those that failed beside it in one burst count as one."""
        if started < self.not_before:
            return
        self.failures += 1
        limit = min(BACKOFF_S[1], BACKOFF_S[0] * 2.0 ** min(self.failures, 16))
        self.not_before = now + max(wait_s, random.uniform(limit / 2, limit))  # noqa: S311  # spreads retries

    def resolve_again(self, address: str) -> bool:
        """An address that it redirected to gives nothing any more; whether its own address should be asked anew."""
        if self.address != address:
            return True  # somebody did it already
        if not self.resolved or self.resolves >= RESOLVES_MAX:
            return False
        self.resolved = ""
        self.resolves += 1
        return True


def broken(name: str, why: str) -> TransferError:
    """Tries are used up."""
    return TransferError(
        "E_NETWORK", f"the transfer of {name} broke", why, "look at the network, try later", retry=True
    )


def refused(name: str, why: str) -> SourceError:
    """An address that gives nothing."""
    return SourceError("E_SOURCE", f"{name} cannot be had", why, "check access to the model, and its credential")


def wrong(name: str, why: str) -> WrongBytesError:
    """An address with something else behind it."""
    return WrongBytesError("E_WRONG_BYTES", f"{name} is not what its source promised", why, "take another mirror")


class Mirrors:
    """Best first; one that failed is behind those that did not."""

    def __init__(self, file: RemoteFile | UnsizedFile, tries: int) -> None:
        self._name, self._tries = file.name, tries
        self.all = [Mirror(url) for url in file.urls]
        self.only: Mirror | None = None
        """When set, nobody else is asked: a mix of origins was wrong."""
        self.stream = False
        """Whether the file is asked for as a whole."""

    def choose(self, now: float) -> Mirror | None:
        """Who may be asked now; None: wait until `wake_at`."""
        alive = [mirror for mirror in self._candidates() if mirror.not_before <= now]
        return min(alive, key=lambda mirror: (not mirror.ranges, mirror.failures), default=None)

    def wake_at(self) -> float:
        """When the next one may be asked."""
        return min((mirror.not_before for mirror in self._candidates()), default=0.0)

    def _candidates(self) -> list[Mirror]:
        if self.only is not None and self.only.given_up is None:
            return [self.only]
        return [mirror for mirror in self.all if mirror.given_up is None]

    def fail(self, mirror: Mirror, why: str, started: float, now: float, wait_s: float = 0.0) -> None:
        """See Mirror.fail; after too many it is given up."""
        mirror.fail(started, now, wait_s)
        if mirror.failures >= self._tries:
            mirror.given_up = broken(self._name, why)

    def add(self, urls: Iterable[str]) -> bool:
        """Addresses as they are now; whether there was a new one."""
        known = {mirror.base for mirror in self.all}
        new = [Mirror(url) for url in urls if url not in known]
        self.all += new
        return bool(new)

    @property
    def exhausted(self) -> DownloadError | None:
        """Why nobody is left to be asked; None while there is."""
        if self._candidates():
            return None
        reasons = [mirror.given_up for mirror in self.all if mirror.given_up is not None]
        return next((error for error in reasons if error.retry), reasons[-1] if reasons else broken(self._name, ""))

    @property
    def ranges(self) -> bool:
        """Whether somebody gives ranges."""
        return any(mirror.ranges for mirror in self._candidates()) and not self.stream
