"""Where the bed keeps its things: .bed/ in the checkout; sockets in a short temporary folder."""

import contextlib
import fcntl
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BED = ROOT / ".bed"
CACHE = BED / "cache"
LOGS = BED / "logs"
LOGS_KEPT_S = 86400


def folder(*parts: str) -> Path:
    """A folder under .bed/, made if absent."""
    made = BED.joinpath(*parts)
    made.mkdir(parents=True, exist_ok=True)
    return made


def short_folder() -> Path:
    """A new folder for unix sockets, whose paths may have at most 107 bytes; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="bed-", dir="/tmp"))


def prune_logs() -> None:
    """Remove what programs wrote more than a day ago."""
    for log in LOGS.glob("*.log"):
        with contextlib.suppress(FileNotFoundError):  # another run prunes too
            if log.stat().st_mtime < time.time() - LOGS_KEPT_S:
                log.unlink()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this checkout between processes; it falls when its holder ends."""
    with (folder("locks") / name).open("w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell the person what the bed does to this machine; standard error."""
    print(f"bed: {text}", file=sys.stderr, flush=True)
