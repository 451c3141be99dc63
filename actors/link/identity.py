"""Who this machine is, in files of the state directory: key, agent id, pinned roots, keyset, access token.

The key is made here, written with fsync and rename before anything is sent, and never leaves. Mode 0600.

While the key rotates there are two slots: `agent.key` and `agent.key.next`. One rename makes the next the current one,
so that a crash at any moment leaves one or two keys of which the master knows at least one. Each key file carries the
id of the command that asked for it, so that the same command does not make another.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from protocol.codec import decode, encode
from protocol.keys import SEED_BYTES, KeyPair
from protocol.keyset import Keyset, Roots, open_keyset

KEY_FILE = "agent.key"
NEXT_FILE = "agent.key.next"
IDENTITY_FILE = "identity"
ACCESS_FILE = "access.token"
LABEL_FILE = "label"
MODE = 0o600


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled agent; `next_key` while the key rotates."""

    agent_id: str
    key: KeyPair
    roots: Roots
    keyset: Keyset
    next_key: KeyPair | None = None

    @property
    def keys(self) -> tuple[KeyPair, ...]:
        """The keys to come with, in this order: a master that knows the next takes it."""
        return (self.key,) if self.next_key is None else (self.next_key, self.key)


class IdentityFiles:
    """The files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def key(self) -> KeyPair:
        """The machine's key; made and made durable if there is none."""
        file = self._directory / KEY_FILE
        if not file.exists():
            write_durably(file, secrets.token_bytes(SEED_BYTES))
        return KeyPair.from_seed(file.read_bytes()[:SEED_BYTES])

    def label(self) -> str:
        """What marks this machine's containers: the id of its first key, which outlives every rotation."""
        file = self._directory / LABEL_FILE
        if not file.exists():
            write_durably(file, self.key().kid.hex().encode())
        return file.read_text(encoding="ascii").strip()

    # -- rotation --------------------------------------------------------------------------------------------

    def next_key(self) -> KeyPair | None:
        """The key that will be ours, if one was begun."""
        file = self._directory / NEXT_FILE
        return KeyPair.from_seed(file.read_bytes()[:SEED_BYTES]) if file.exists() else None

    def begin_rotation(self, command_id: str) -> KeyPair | None:
        """The next key, durable before it is told to anybody; None when this command has changed the key already."""
        tag = bytes.fromhex(command_id)
        self.label()
        if (self._directory / KEY_FILE).read_bytes()[SEED_BYTES:] == tag:
            return None
        begun = self._directory / NEXT_FILE
        if not begun.exists() or begun.read_bytes()[SEED_BYTES:] != tag:
            write_durably(begun, secrets.token_bytes(SEED_BYTES) + tag)
        return self.next_key()

    def finish_rotation(self, kid: bytes) -> bool:
        """The master knows this key: from now on it is the one. False when it is not the next."""
        coming = self.next_key()
        if coming is None or coming.kid != kid:
            return False
        (self._directory / NEXT_FILE).replace(self._directory / KEY_FILE)
        _sync(self._directory)
        return True

    # -- enrollment ------------------------------------------------------------------------------------------

    def load(self) -> Identity | None:
        """The identity, or None before enrollment."""
        file = self._directory / IDENTITY_FILE
        if not file.exists():
            return None
        agent_id, raw_roots, document = decode(file.read_bytes())
        roots = Roots.model_validate(raw_roots)
        # An expired keyset is kept and replaced by the next that the master shows: trust comes from the roots.
        return Identity(agent_id, self.key(), roots, open_keyset(document, roots, now_ms=0), self.next_key())

    def save(self, agent_id: str, roots: Roots, keyset: Keyset) -> Identity:
        """Write the identity; returns once it is durable."""
        body = encode([agent_id, roots.model_dump(mode="python"), keyset.document])
        write_durably(self._directory / IDENTITY_FILE, body)
        return Identity(agent_id, self.key(), roots, keyset, self.next_key())

    def access(self) -> str | None:
        """The token for the upgrade and the side doors, if there is one."""
        file = self._directory / ACCESS_FILE
        return file.read_text(encoding="ascii") if file.exists() else None

    def save_access(self, token: str) -> None:
        """The token for the upgrade and the side doors."""
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
    _sync(file.parent)


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
