"""The master's keys in one directory: roots, link, command and token key, and the keyset that names them.

Files of mode 0600. The roots belong offline: `init` says so, and nothing after it reads them but `keyset renew`.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from protocol.codec import decode, encode
from protocol.command import seal_command
from protocol.keys import SEED_BYTES, KeyPair
from protocol.keyset import Keyset, KeysetBody, KeysetKey, Role, Roots, open_keyset, sign_keyset
from protocol.messages.base import Command

KEYS = {Role.LINK: "link.key", Role.COMMAND: "command.key", Role.TOKEN: "token.key"}
ROOT_FILE = "root.key"
KEYSET_FILE = "keyset"
ROOTS_FILE = "roots"
KEY_LIFE_MS = 365 * 86_400_000
KEYSET_LIFE_MS = 365 * 86_400_000
MODE = 0o600


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """What a running master needs; the roots' secrets are not among it."""

    link: KeyPair
    command: KeyPair
    token: KeyPair
    roots: Roots
    keyset: Keyset

    def sign_command(self, agent_id: str, command_id: bytes, issued_ms: int, ttl_ms: int, command: Command) -> bytes:
        """The signed bytes of a command; larger fleets do this in a process of its own."""
        return seal_command(self.command, agent_id, command_id, issued_ms, ttl_ms, command)


def make_keys(directory: Path, now_ms: int) -> MasterKeys:
    """New keys and a first keyset; refuses a directory that has some."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / KEYSET_FILE).exists():
        raise FileExistsError(f"{directory}: has keys already; take another directory, or remove it if it is not used")
    root = KeyPair.from_seed(_new_file(directory / ROOT_FILE))
    online = {role: KeyPair.from_seed(_new_file(directory / name)) for role, name in KEYS.items()}
    roots = Roots(threshold=1, publics=(root.public,))
    keys = tuple(
        KeysetKey(public=key.public, role=str(role), not_before_ms=0, not_after_ms=now_ms + KEY_LIFE_MS)
        for role, key in online.items()
    )
    body = KeysetBody(version=1, expires_ms=now_ms + KEYSET_LIFE_MS, keys=keys, roots=roots)
    _write(directory / ROOTS_FILE, encode(roots.model_dump(mode="python")))
    _write(directory / KEYSET_FILE, sign_keyset(body, [root]))
    return load_keys(directory, now_ms)


def load_keys(directory: Path, now_ms: int) -> MasterKeys:
    """The keys of a directory that `init` made."""
    try:
        roots = Roots.model_validate(decode((directory / ROOTS_FILE).read_bytes()))
        keyset = open_keyset((directory / KEYSET_FILE).read_bytes(), roots, now_ms=now_ms)
        link, command, token = (KeyPair.from_seed((directory / name).read_bytes()) for name in KEYS.values())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename} is missing; make the directory with: mosalama-master init --dir {directory}"
        ) from None
    return MasterKeys(link, command, token, roots, keyset)


def _new_file(file: Path) -> bytes:
    seed = secrets.token_bytes(SEED_BYTES)
    _write(file, seed)
    return seed


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
