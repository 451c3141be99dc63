"""Which online keys may do what, signed by a threshold of offline roots.

The agent pins the set of roots, not an online key, so that online keys rotate without touching a host. A document
of a lower version is a rollback, an expired one a freeze; both are refused and the one at hand is kept. The rules
are those of The Update Framework's root and timestamp roles (specification 1.0), in one document.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field, ValidationError

from .codec import decode, encode
from .errors import Code, ProtocolError
from .keys import UNBOUND, KeyPair, Purpose, check_public, digest, key_id, verify
from .messages.base import Part

PIN_BYTES = 16
DOCUMENT_PARTS = 2
ROOTS_MAX = 16


class Role(StrEnum):
    """What a key may sign; one key has one role."""

    LINK = "link"
    COMMAND = "command"
    TOKEN = "token"  # noqa: S105  # the word of a role, not a secret
    RELEASE = "release"


class Roots(Part):
    """The pinned set: so many of these keys must sign."""

    threshold: int = Field(ge=1, le=ROOTS_MAX)
    publics: tuple[bytes, ...] = Field(min_length=1, max_length=ROOTS_MAX)

    def pin(self) -> bytes:
        """What a join token carries: the first 16 bytes of the set's digest."""
        return digest(encode([self.threshold, *sorted(self.publics)]))[:PIN_BYTES]


class KeysetKey(Part):
    """One online key; times are milliseconds since the epoch."""

    public: bytes = Field(min_length=32, max_length=32)
    role: str
    not_before_ms: int = Field(ge=0)
    not_after_ms: int = Field(ge=0)

    def holds(self, now_ms: int) -> bool:
        """Whether its time is now."""
        return self.not_before_ms <= now_ms < self.not_after_ms


class KeysetBody(Part):
    """What the roots sign."""

    version: int = Field(ge=1)
    expires_ms: int = Field(ge=0)
    keys: tuple[KeysetKey, ...] = Field(max_length=64)
    revoked: tuple[bytes, ...] = Field(default=(), max_length=256)
    roots: Roots


@dataclass(frozen=True, slots=True)
class Keyset:
    """A verified document and the bytes that prove it."""

    body: KeysetBody
    document: bytes

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self.body.version

    def holders(self, role: Role) -> Mapping[bytes, KeysetKey]:
        """Key id -> key of everyone who may act in `role` at some time."""
        named = {key_id(key.public): key for key in self.body.keys if key.role == role}
        return {kid: key for kid, key in named.items() if kid not in self.body.revoked}

    def publics(self, role: Role, now_ms: int) -> Mapping[bytes, bytes]:
        """Key id -> public key of everyone who may act in `role` now."""
        return {kid: key.public for kid, key in self.holders(role).items() if key.holds(now_ms)}

    def expired(self, now_ms: int) -> bool:
        """Whether its day is over: what it says of keys is not to be acted on any more."""
        return now_ms >= self.body.expires_ms

    def role_of(self, kid: bytes) -> str | None:
        """The role of a key, whatever its time; None when it is not here."""
        return next((key.role for key in self.body.keys if key_id(key.public) == kid), None)


def sign_keyset(body: KeysetBody, roots: Iterable[KeyPair]) -> bytes:
    """The document: the body's bytes and one signature of each root."""
    raw = encode(body.model_dump(mode="python"))
    signatures = [[root.public, root.sign(Purpose.KEYSET, UNBOUND, raw)] for root in roots]
    return encode([raw, signatures])


def open_keyset(document: bytes, roots: Roots, *, now_ms: int, at_least: int = 0) -> Keyset:
    """The keyset, if enough pinned roots signed it, it is not older than `at_least`, and it has not expired.

    A document that brings other roots must be signed by a threshold of the old and of the new set.
    """
    raw, signatures = _parts(document)
    _enough(roots, raw, signatures)
    try:
        body = KeysetBody.model_validate(decode(raw))
    except ValidationError:
        raise ProtocolError(Code.KEYSET, "not a keyset") from None
    _check(body)
    if body.roots != roots:
        _enough(body.roots, raw, signatures)
    if body.version < at_least:
        raise ProtocolError(Code.KEYSET, "older than the one at hand (rollback)")
    if now_ms >= body.expires_ms:
        raise ProtocolError(Code.KEYSET, "expired (freeze)")
    return Keyset(body, document)


def follow_roots(chain: Iterable[bytes], roots: Roots, at_least: int) -> Roots:
    """The roots after every change in the chain: each document is signed by the roots before it and by its own.

    A document of the chain may have expired: it only says whom to ask next, as intermediate roots do in TUF (5.3).
    """
    for document in chain:
        keyset = open_keyset(document, roots, now_ms=0, at_least=at_least)
        roots, at_least = keyset.body.roots, keyset.version
    return roots


def _parts(document: bytes) -> tuple[bytes, Mapping[bytes, bytes]]:
    value: Any = decode(document)
    try:
        raw, signatures = value
        pairs = [(public, signature) for public, signature in signatures]
    except (TypeError, ValueError):
        raise ProtocolError(Code.KEYSET, "not a keyset document") from None
    # Never bytes(part): of a received number it would allocate that many.
    if not all(type(part) is bytes for part in (raw, *(part for pair in pairs for part in pair))):
        raise ProtocolError(Code.KEYSET, "not a keyset document")
    return raw, dict(pairs)


def _enough(roots: Roots, raw: bytes, signatures: Mapping[bytes, bytes]) -> None:
    """Count different pinned roots whose signature holds."""
    good = 0
    for public in set(roots.publics):
        signature = signatures.get(public)
        if signature is None:
            continue
        try:
            verify(check_public(public), Purpose.KEYSET, UNBOUND, raw, signature)
        except ProtocolError:
            continue
        good += 1
    if good < roots.threshold:
        raise ProtocolError(Code.KEYSET, f"{good} of {roots.threshold} needed root signatures hold")


def _check(body: KeysetBody) -> None:
    seen: set[bytes] = set()
    for key in body.keys:
        kid = key_id(check_public(key.public))
        if kid in seen:
            raise ProtocolError(Code.KEYSET, "two keys have one id")
        seen.add(kid)
        if key.role not in set(Role):
            raise ProtocolError(Code.KEYSET, "a role that is not known")
    for public in body.roots.publics:
        check_public(public)
    if body.roots.threshold > len(set(body.roots.publics)):
        raise ProtocolError(Code.KEYSET, "a threshold that its roots cannot reach")
