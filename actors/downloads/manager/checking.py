"""The blocking part of verifications, for a task thread of the manager: reads versions, keeps a rate, says how far."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from actors.downloads.manager.words import Found
from actors.downloads.records import Version
from actors.downloads.store import ModelStore
from actors.downloads.verify import Flag, Pace, readers, verify
from actors.facts import TransferFacts

SHOW_S = 0.25
VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Check:
    """One verification that waits for its turn; without a command it is the schedule's."""

    command_id: str | None
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Verifying:
    """To the manager: how far a verification is."""

    facts: TransferFacts


class Checker:
    """Runs one check after the other. `tell` takes Verifying; `bytes_s` bounds what nobody waits for."""

    def __init__(self, store: ModelStore, bytes_s: int, flag: Flag, tell: Callable[[object], None]) -> None:
        self._store, self._bytes_s, self._flag, self._tell = store, bytes_s, flag, tell
        self._log = structlog.get_logger().bind(actor="downloads")

    def run(self, check: Check) -> Found:
        """Every version of the check; each is marked in the store as soon as it was read."""
        if check.command_id is None:
            return self._read(check)
        with bound_contextvars(command_id=check.command_id):  # it may have waited for its turn
            return self._read(check)

    def _read(self, check: Check) -> Found:
        rate = self._bytes_s if check.command_id is None else None
        found = []
        for version in check.versions:
            wrong = verify(version, Pace(self._flag, rate, self._teller(version)), 1 if rate else readers())
            self._store.verified(version, wrong)
            self._log.info("model.verified", model=version.model, revision=version.commit, wrong=len(wrong))
            found.append((version, wrong))
        return tuple(found)

    def _teller(self, version: Version) -> Callable[[int], None]:
        told_at, begun, size = [0.0], self._flag.now(), version.size_bytes

        def tell(done: int) -> None:
            now = self._flag.now()
            if now - told_at[0] >= SHOW_S:
                told_at[0] = now
                rate = done / max(now - begun, 1e-3)
                left_s = (size - done) / rate
                self._tell(
                    Verifying(
                        TransferFacts(VERIFY, version.model, version.commit, "verifying", done, size, rate, left_s)
                    )
                )

        return tell
