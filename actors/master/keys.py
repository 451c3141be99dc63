"""The master's keys in one directory: link, command and token key, and the signed keyset that names them.

Files of mode 0600. A running master never reads a root: those belong offline, and only `keyset sign` takes one.
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
CHAIN_DIR = "keyset.chain"
NEXT = ".next"
DAY_MS = 86_400_000
KEYSET_LIFE_MS = 365 * DAY_MS
KEY_LIFE_MS = KEYSET_LIFE_MS + 30 * DAY_MS
"""Longer than the keyset's: agents of a master whose keyset has expired still tell how they are."""
MODE = 0o600


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """What a running master needs; the roots' secrets are not among it."""

    link: KeyPair
    command: KeyPair
    token: KeyPair
    roots: Roots
    keyset: Keyset
    chain: tuple[tuple[int, bytes], ...] = ()
    """Version and document of every keyset that changed the roots, oldest first."""

    def sign_command(self, agent_id: str, command_id: bytes, issued_ms: int, ttl_ms: int, command: Command) -> bytes:
        """The signed bytes of a command; larger fleets do this in a process of its own."""
        return seal_command(self.command, agent_id, command_id, issued_ms, ttl_ms, command)

    def days_left(self, now_ms: int) -> float:
        """Until the keyset expires; negative when it has."""
        return (self.keyset.body.expires_ms - now_ms) / DAY_MS


def make_keys(directory: Path, now_ms: int, *, roots: int = 1, threshold: int = 1) -> MasterKeys:
    """New keys and a first keyset; refuses a directory that has some."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / KEYSET_FILE).exists():
        raise FileExistsError(f"{directory}: has keys already; take another directory, or remove it if it is not used")
    signers = [KeyPair.from_seed(new_key_file(directory / name)) for name in root_names(roots)]
    online = {role: KeyPair.from_seed(new_key_file(directory / name)) for role, name in KEYS.items()}
    set_ = Roots(threshold=threshold, publics=tuple(signer.public for signer in signers))
    keys = tuple(
        KeysetKey(public=key.public, role=str(role), not_before_ms=0, not_after_ms=now_ms + KEY_LIFE_MS)
        for role, key in online.items()
    )
    body = KeysetBody(version=1, expires_ms=now_ms + KEYSET_LIFE_MS, keys=keys, roots=set_)
    write_file(directory / ROOTS_FILE, encode(set_.model_dump(mode="python")))
    write_file(directory / KEYSET_FILE, sign_keyset(body, signers))
    return load_keys(directory)


def root_names(count: int) -> tuple[str, ...]:
    """File names of so many roots."""
    return (ROOT_FILE,) if count == 1 else tuple(f"root-{number}.key" for number in range(1, count + 1))


def load_keys(directory: Path) -> MasterKeys:
    """The keys of a directory that `init` made; an expired keyset is loaded too, and told loudly by who loads it."""
    try:
        roots = Roots.model_validate(decode((directory / ROOTS_FILE).read_bytes()))
        keyset = open_keyset((directory / KEYSET_FILE).read_bytes(), roots, now_ms=0)
        link, command, token = (_online(directory, name, keyset) for name in KEYS.values())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename} is missing; make the directory with: mosalama-master init --dir {directory}"
        ) from None
    return MasterKeys(link, command, token, roots, keyset, _chain(directory))


def _online(directory: Path, name: str, keyset: Keyset) -> KeyPair:
    """The key of one role; a new one takes its place as soon as the published keyset names it."""
    coming = directory / (name + NEXT)
    if coming.exists():
        key = KeyPair.from_seed(coming.read_bytes())
        if keyset.role_of(key.kid) is not None:
            coming.replace(directory / name)
    return KeyPair.from_seed((directory / name).read_bytes())


def _chain(directory: Path) -> tuple[tuple[int, bytes], ...]:
    files = sorted((directory / CHAIN_DIR).glob("*"), key=lambda file: int(file.name))
    return tuple((int(file.name), file.read_bytes()) for file in files)


def new_key_file(file: Path) -> bytes:
    """A new seed in a new file."""
    seed = secrets.token_bytes(SEED_BYTES)
    write_file(file, seed)
    return seed


def write_file(file: Path, content: bytes) -> None:
    """A new file, on disk when this returns; FileExistsError when there is one."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def replace_file(file: Path, content: bytes) -> None:
    """All of the new content or the old one, whatever happens meanwhile."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    write_file(temporary, content)
    temporary.replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
