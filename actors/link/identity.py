"""Who this machine is, in files of the state directory: key, agent id, pinned roots, keyset, access token.

The key is made here, written with fsync and rename before anything is sent, and never leaves. Mode 0600.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from protocol.codec import decode, encode
from protocol.keys import SEED_BYTES, KeyPair
from protocol.keyset import Keyset, Roots, open_keyset

KEY_FILE = "agent.key"
IDENTITY_FILE = "identity"
ACCESS_FILE = "access.token"
MODE = 0o600


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled agent."""

    agent_id: str
    key: KeyPair
    roots: Roots
    keyset: Keyset


class IdentityFiles:
    """The files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def key(self) -> KeyPair:
        """The machine's key; made and made durable if there is none."""
        file = self._directory / KEY_FILE
        if not file.exists():
            write_durably(file, secrets.token_bytes(SEED_BYTES))
        return KeyPair.from_seed(file.read_bytes())

    def load(self) -> Identity | None:
        """The identity, or None before enrollment."""
        file = self._directory / IDENTITY_FILE
        if not file.exists():
            return None
        agent_id, raw_roots, document = decode(file.read_bytes())
        roots = Roots.model_validate(raw_roots)
        # An expired keyset is kept and replaced by the next that the master shows: trust comes from the roots.
        return Identity(agent_id, self.key(), roots, open_keyset(document, roots, now_ms=0))

    def save(self, agent_id: str, roots: Roots, keyset: Keyset) -> Identity:
        """Write the identity; returns once it is durable."""
        body = encode([agent_id, roots.model_dump(mode="python"), keyset.document])
        write_durably(self._directory / IDENTITY_FILE, body)
        return Identity(agent_id, self.key(), roots, keyset)

    def save_access(self, token: str) -> None:
        """The token for the side doors."""
        write_durably(self._directory / ACCESS_FILE, token.encode())


def write_durably(file: Path, content: bytes) -> None:
    """All of it or the old content, whatever happens: temporary file, fsync, rename, fsync of the directory."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
