"""Who uses which version, on disk: a lease outlives the daemon, since the engine that holds it does too."""

from collections.abc import Mapping
from pathlib import Path

from .disk import read_json, write_json

FILE = ".leases.json"


class Leases:
    """Holder -> key of a version. Belongs to the store's lock."""

    def __init__(self, root: Path) -> None:
        self._file = root / FILE
        self._held = {str(holder): str(key) for holder, key in read_json(self._file).items()}

    def take(self, holder: str, key: str) -> None:
        """From now on `holder` uses this version, and no other."""
        if self._held.get(holder) != key:
            self._held[holder] = key
            write_json(self._file, self._held)

    def drop(self, holder: str) -> str | None:
        """The holder uses nothing any more; what it used."""
        key = self._held.pop(holder, None)
        if key is not None:
            write_json(self._file, self._held)
        return key

    def of(self, holder: str) -> str | None:
        """What the holder uses."""
        return self._held.get(holder)

    def holders(self, key: str) -> tuple[str, ...]:
        """Who uses this version."""
        return tuple(sorted(holder for holder, held in self._held.items() if held == key))

    def all(self) -> Mapping[str, str]:
        """Everybody."""
        return dict(self._held)
