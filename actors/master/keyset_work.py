"""From one keyset to the next: a change is prepared, signed by enough roots wherever those are, and published.

    prepare   writes `keyset.next`: the next body, without a signature
    sign      adds the signature of one root; may happen on a machine that has nothing else
    publish   takes it into use, once enough roots of the old set (and of the new one) have signed

What was prepared is a file that travels. A new online key lies beside it and takes its place when it is published.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from protocol.codec import decode, encode
from protocol.errors import Code, ProtocolError
from protocol.keys import UNBOUND, KeyPair, Purpose, check_public, key_id
from protocol.keyset import Keyset, KeysetBody, KeysetKey, Role, Roots, open_keyset
from protocol.limits import TTL_MAX_MS

from .keys import (
    CHAIN_DIR,
    DAY_MS,
    KEY_LIFE_MS,
    KEYS,
    KEYSET_FILE,
    KEYSET_LIFE_MS,
    NEXT,
    ROOTS_FILE,
    MasterKeys,
    load_keys,
    new_key_file,
    replace_file,
    write_file,
)

NEXT_FILE = KEYSET_FILE + NEXT
OVERLAP_MS = 7 * DAY_MS
"""How long a key that was replaced still holds: longer than any command may wait."""
assert OVERLAP_MS > TTL_MAX_MS


@dataclass(frozen=True, slots=True)
class Change:
    """What the next keyset does otherwise; nothing: it is only good for longer."""

    life_ms: int = KEYSET_LIFE_MS
    rotate: tuple[Role, ...] = ()
    revoke: tuple[bytes, ...] = ()
    roots: Roots | None = None


def prepare(directory: Path, change: Change, now_ms: int) -> KeysetBody:
    """Write the next body; one that waits for signatures already is replaced, with the keys that were made for it."""
    keys = load_keys(directory)
    for name in KEYS.values():
        (directory / (name + NEXT)).unlink(missing_ok=True)
    body = _next_body(directory, keys, change, now_ms)
    replace_file(directory / NEXT_FILE, encode([encode(body.model_dump(mode="python")), []]))
    return body


def _next_body(directory: Path, keys: MasterKeys, change: Change, now_ms: int) -> KeysetBody:
    current = {Role.LINK: keys.link, Role.COMMAND: keys.command, Role.TOKEN: keys.token}
    known = {key_id(row.public): row for row in keys.keyset.body.keys}
    unknown = [kid.hex() for kid in change.revoke if kid not in known]
    if unknown:
        raise ProtocolError(Code.KEYSET, f"no key {', '.join(unknown)} in the keyset; see: mosalama-master keyset show")
    revoked = (*keys.keyset.body.revoked, *(kid for kid in change.revoke if kid not in keys.keyset.body.revoked))
    rows = [_prolonged(row, current, change, now_ms) for kid, row in known.items() if kid not in revoked]
    for role, key in current.items():
        if role in change.rotate or key.kid in revoked:
            new = KeyPair.from_seed(new_key_file(directory / (KEYS[role] + NEXT)))
            rows.append(_row(new.public, role, now_ms))
    alive = tuple(row for row in rows if row.not_after_ms > now_ms)
    gone = tuple(kid for kid in revoked if kid in known) + tuple(kid for kid in revoked if kid not in known)
    return KeysetBody(
        version=keys.keyset.version + 1,
        expires_ms=now_ms + change.life_ms,
        keys=alive,
        revoked=gone[-256:],
        roots=change.roots or keys.roots,
    )


def _prolonged(row: KeysetKey, current: dict[Role, KeyPair], change: Change, now_ms: int) -> KeysetKey:
    """A key in use lives as long as the new keyset and longer; one that is replaced, for the overlap."""
    in_use = {key.public: role for role, key in current.items()}
    role = in_use.get(row.public)
    if role is None:
        return row
    if role in change.rotate:
        return row.model_copy(update={"not_after_ms": min(row.not_after_ms, now_ms + OVERLAP_MS)})
    return row.model_copy(update={"not_after_ms": now_ms + change.life_ms + KEY_LIFE_MS - KEYSET_LIFE_MS})


def _row(public: bytes, role: Role, now_ms: int) -> KeysetKey:
    return KeysetKey(public=public, role=str(role), not_before_ms=0, not_after_ms=now_ms + KEY_LIFE_MS)


def sign(file: Path, root: KeyPair) -> KeysetBody:
    """Add the signature of one root to a prepared file; the same root twice counts once."""
    raw, signatures = _read(file)
    kept = [pair for pair in signatures if pair[0] != root.public]
    body = KeysetBody.model_validate(decode(raw))
    replace_file(file, encode([raw, [*kept, [root.public, root.sign(Purpose.KEYSET, UNBOUND, raw)]]]))
    return body


def signed_by(file: Path) -> tuple[bytes, ...]:
    """Public keys of those who have signed a prepared file."""
    return tuple(public for public, _ in _read(file)[1])


def _read(file: Path) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    try:
        raw, signatures = decode(file.read_bytes())
        return raw, [(public, signature) for public, signature in signatures]
    except (TypeError, ValueError):
        raise ProtocolError(Code.KEYSET, f"{file} is not a prepared keyset") from None


def publish(directory: Path, now_ms: int) -> Keyset:
    """Take the prepared keyset into use; ProtocolError while signatures are missing."""
    keys, file = load_keys(directory), directory / NEXT_FILE
    document = file.read_bytes()
    keyset = open_keyset(document, keys.roots, now_ms=now_ms, at_least=keys.keyset.version + 1)
    if keyset.body.roots != keys.roots:
        chain = directory / CHAIN_DIR
        chain.mkdir(mode=0o700, exist_ok=True)
        (chain / str(keyset.version)).unlink(missing_ok=True)
        write_file(chain / str(keyset.version), document)
    replace_file(directory / KEYSET_FILE, document)  # signed by old and new roots: it opens with either
    replace_file(directory / ROOTS_FILE, encode(keyset.body.roots.model_dump(mode="python")))
    load_keys(directory)  # the new keys take their places
    file.unlink()
    return keyset


def make_roots(publics: Iterable[bytes], threshold: int) -> Roots:
    """A set of roots, looked at before it is signed."""
    checked = tuple(dict.fromkeys(check_public(public) for public in publics))
    if not 1 <= threshold <= len(checked):
        raise ProtocolError(Code.KEYSET, f"{threshold} of {len(checked)} roots cannot be: ask for 1 to {len(checked)}")
    return Roots(threshold=threshold, publics=checked)
