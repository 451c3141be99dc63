"""One owner of a models folder: a lock of the kernel, and a token in the folder for file systems whose locks lie."""

import fcntl
import json
import os
import secrets
from pathlib import Path

from .errors import StoreError

LOCK = ".lock"


class Owner:
    """Holds the folder until closed; StoreError when another one has it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._token = secrets.token_hex(16)
        try:
            root.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            what = f"the models folder {root} cannot be used"
            raise StoreError("E_STORE", what, str(error), "mend it, or set downloads.models_dir") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise self._taken() from error
        text = json.dumps({"token": self._token, "pid": os.getpid()}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def check(self) -> None:
        """StoreError when another agent has taken the folder since: some network file systems grant a lock twice.

        Called before everything that changes what others see: the one that came last goes on, the other only reads.
        """
        if not self.mine():
            raise self._taken()

    def mine(self) -> bool:
        """Whether no other agent has taken the folder since."""
        try:
            found = json.loads((self._root / LOCK).read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found.get("token") == self._token

    def close(self) -> None:
        """Give it up."""
        os.close(self._descriptor)

    def _taken(self) -> StoreError:
        what = f"{self._root} belongs to another running agent"
        return StoreError("E_STORE", what, "two owners would corrupt it", "give each its own downloads.models_dir")
