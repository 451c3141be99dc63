"""What proves a file: SHA-256 of its bytes, or the SHA-1 of a git blob, which covers a header and the bytes."""

import hashlib
from typing import Protocol, Self

from .errors import WrongBytesError
from .manifest import RemoteFile


class Hash(Protocol):
    """As hashlib has it."""

    def update(self, data: bytes | memoryview, /) -> None:
        """More bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""

    def copy(self) -> Self:
        """Another one that goes on from here."""


def begin(file: RemoteFile) -> Hash:
    """The hash that proves this file."""
    if file.proof == "sha256":
        return hashlib.sha256()
    blob = hashlib.sha1(usedforsecurity=False)
    blob.update(b"blob %d\0" % file.size_bytes)
    return blob


def check(file: RemoteFile, state: Hash) -> None:
    """WrongBytesError when the bytes are not those that were promised."""
    if state.hexdigest() != file.digest:
        raise WrongBytesError(
            "E_WRONG_BYTES",
            f"{file.name} is not what its source promised",
            f"{file.proof} differs",
            "it is fetched again",
            retry=True,
        )
