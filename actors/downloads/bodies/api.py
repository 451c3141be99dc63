"""What the transfer engine is asked and what it answers; the store's side and the engine's side meet here."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.downloads.manifest import RemoteFile, Staging, UnsizedFile


class Cancelled(Exception):  # noqa: N818  # an answer to a request, not an error
    """The transfer was told to end; what is there is kept for the next time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is; told about four times a second."""

    state: str
    """One of transferring, verifying, paused, waiting."""
    done_bytes: int
    """Bytes that are on disk, of this time and of earlier ones; falls when bytes turn out to be wrong."""
    total_bytes: int
    """0 while nobody knows it."""
    rate_bytes_s: float | None = None
    """Of the last seconds; None until it means something."""
    eta_s: float | None = None
    connections: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """A transfer that ended well: every file is complete, proven and durable under its own name."""

    files: int
    size_bytes: int
    received_bytes: int
    """From the network, this time."""
    seconds: float


class Control:
    """The strings of one running transfer; every method may be called from any thread and returns at once."""

    def __init__(self) -> None:
        self._cancelled, self._paused = threading.Event(), threading.Event()

    def cancel(self) -> None:
        """End soon with Cancelled; what is there is kept."""
        self._cancelled.set()

    def pause(self) -> None:
        """Ask for no more bytes; connections close, nothing is lost."""
        self._paused.set()

    def resume(self) -> None:
        """Go on."""
        self._paused.clear()

    @property
    def cancelled(self) -> bool:
        """Whether it shall end."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """Whether it shall hold."""
        return self._paused.is_set()


Grow = Callable[[int, int], int]
"""From the bytes that are needed now and those that are welcome to what is reserved; DownloadError when not so many."""


class Bring(Protocol):
    """Brings files of a staging: complete, proven and durable under `staging.files`, or an error that says why not."""

    def __call__(
        self, staging: Staging, files: Sequence[RemoteFile], control: Control, progress: Callable[[Progress], None]
    ) -> Brought:
        """Blocking, for a task thread. DownloadError: why it ended; Cancelled: it was told to end."""

    def unsized(
        self,
        staging: Staging,
        file: UnsizedFile,
        control: Control,
        progress: Callable[[Progress], None],
        grow: Grow,
    ) -> RemoteFile:
        """One file whose size nobody says: then it stands proven in the staging, and its size is known. As above."""
