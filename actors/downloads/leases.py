"""Who uses which version, on disk: a lease outlives the daemon, since the engine that holds it does too."""

from collections.abc import Callable, Mapping
from pathlib import Path

from .disk import read_json, write_json

FILE = ".leases.json"


class Leases:
    """Holder -> key of a version. Belongs to the store's lock. `mine`: whether the folder is still ours to write in."""

    def __init__(self, root: Path, mine: Callable[[], bool]) -> None:
        self._file, self._mine = root / FILE, mine
        self._held = {str(holder): str(key) for holder, key in read_json(self._file).items()}

    def take(self, holder: str, key: str) -> None:
        """From now on `holder` uses this version, and no other."""
        if self._held.get(holder) != key:
            self._held[holder] = key
            self._keep()

    def drop(self, holder: str) -> str | None:
        """The holder uses nothing any more; what it used."""
        key = self._held.pop(holder, None)
        if key is not None:
            self._keep()
        return key

    def _keep(self) -> None:
        if self._mine():  # else the file has what another agent's engines use
            write_json(self._file, self._held)

    def of(self, holder: str) -> str | None:
        """What the holder uses."""
        return self._held.get(holder)

    def holders(self, key: str) -> tuple[str, ...]:
        """Who uses this version."""
        return tuple(sorted(holder for holder, held in self._held.items() if held == key))

    def all(self) -> Mapping[str, str]:
        """Everybody."""
        return dict(self._held)
