"""Free space of the file systems that matter. A dead network file system hangs whoever asks it, for ever.

So they are asked in a thread of their own, one after the other, and whoever watches sees which one is being asked:
after a deadline the next thread leaves that one out. The thread that hangs comes back when the file system does.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Places = Mapping[str, Path]
"""Role (models, state, docker, log, system) -> directory."""
Ask = Callable[[Path], Figures | None]


class DisksLook:
    """`look` in one thread, `hung` from another. `left_out` is shared by the threads that come after each other."""

    def __init__(
        self, places: Callable[[], Places], clock: Callable[[], float], ask: Ask, left_out: set[Path] | None = None
    ) -> None:
        self._places, self._clock, self._ask = places, clock, ask
        self.left_out = set() if left_out is None else left_out
        """What hangs: not asked until the question that is open is answered."""
        self._asked: tuple[Path, float] | None = None
        """The directory that is asked now, and since when."""

    def look(self) -> Mapping[str, Mapping[str, Any]]:
        """Directory -> figures of its file system, once for each file system; one that hangs says only that."""
        found: dict[str, Figures] = {}
        first: dict[int, str] = {}
        for role, directory in self._places().items():
            if directory in self.left_out:
                found[str(directory)] = {"roles": role, "hung": True}
                continue
            self._asked = (directory, self._clock())
            figures = self._ask(directory)
            self._asked = None
            self.left_out.discard(directory)
            if figures is None:
                continue
            device = figures.pop("device", None)
            same = first.setdefault(device, str(directory)) if device is not None else str(directory)
            if same in found:
                found[same]["roles"] += f", {role}"
            else:
                found[same] = {"roles": role, **figures, "hung": False}
        return {"disks": found}

    def hung(self, timeout_s: float) -> Path | None:
        """The directory whose answer is waited for longer than that."""
        asked = self._asked
        return asked[0] if asked is not None and self._clock() - asked[1] > timeout_s else None


def file_system(directory: Path) -> Figures | None:
    """The file system of a directory, or of its nearest parent that is there; free is what we may use, as df has it."""
    try:
        found, device = os.statvfs(directory), os.stat(directory).st_dev  # noqa: PTH116  # both may hang: one place
    except FileNotFoundError:
        return None if directory == directory.parent else file_system(directory.parent)
    except OSError:
        return None
    free, used = found.f_bavail * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize
    return {
        "device": device,
        "total_bytes": found.f_blocks * found.f_frsize,
        "free_bytes": free,
        "used_share": used / (used + free) if used + free else None,
        "inodes_used_share": 1 - found.f_favail / found.f_files if found.f_files else None,
    }
