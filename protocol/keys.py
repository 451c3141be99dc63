"""Ed25519 keys and the one rule for what is signed: purpose, binding, exact bytes.

A signature covers `"mosalama/1/" + purpose + NUL + 32 bytes of binding + body`, so that no signature made for one
purpose, one session or one direction verifies for another. Ed25519 is RFC 8032, through libsodium.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b

from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey

from .errors import Code, ProtocolError

SIGNATURE_BYTES = 64
PUBLIC_BYTES = 32
SEED_BYTES = 32
KID_BYTES = 8
UNBOUND = bytes(32)
"""The binding before a session exists."""

FIELD_PRIME = 2**255 - 19
SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    )
)
"""The canonical points of small order; the sign bit is cleared before comparing (RFC 7748, section 7)."""


class Purpose(StrEnum):
    """What a signature is for."""

    ENROL_REQUEST = "enrol-req"
    ENROL_ANSWER = "enrol-resp"
    HELLO = "hs-hello"
    CHALLENGE = "hs-challenge"
    AUTH = "hs-auth"
    TO_MASTER = "msg-a2m"
    TO_AGENT = "msg-m2a"
    BULK = "bulk-a2m"
    COMMAND = "cmd"
    TOKEN = "token"  # noqa: S105  # the word of a purpose, not a secret
    KEYSET = "keyset"
    ROTATE_OLD = "rotate-old"
    ROTATE_NEW = "rotate-new"
    RELEASE = "release"


PREFIXES = {purpose: f"mosalama/1/{purpose}".encode() + b"\0" for purpose in Purpose}


def digest(*parts: bytes) -> bytes:
    """BLAKE2b with 32 bytes of output over the parts, one after another."""
    state = blake2b(digest_size=32)
    for part in parts:
        state.update(part)
    return state.digest()


def key_id(public: bytes) -> bytes:
    """The first eight bytes of the key's digest: names a key, proves nothing."""
    return digest(public)[:KID_BYTES]


def check_public(public: bytes) -> bytes:
    """The same 32 bytes if they are a canonical point of large order, else ProtocolError."""
    if len(public) != PUBLIC_BYTES:
        raise ProtocolError(Code.KEY_ID, "a public key has 32 bytes", "public")
    unsigned = public[:31] + bytes([public[31] & 0x7F])
    if unsigned in SMALL_ORDER:
        raise ProtocolError(Code.KEY_ID, "a public key of small order", "public")
    if int.from_bytes(unsigned, "little") >= FIELD_PRIME:
        raise ProtocolError(Code.KEY_ID, "a public key that is not canonical", "public")
    return public


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A signing key; its seed is shown only when asked for by name."""

    _key: SigningKey

    @classmethod
    def from_seed(cls, seed: bytes) -> "KeyPair":
        """The key of 32 random bytes."""
        if len(seed) != SEED_BYTES:
            raise ValueError("a seed has 32 bytes")
        return cls(SigningKey(seed))

    @property
    def seed(self) -> bytes:
        """The secret: for the file that keeps it and for nothing else."""
        return bytes(self._key)

    @cached_property
    def public(self) -> bytes:
        """32 bytes."""
        return bytes(self._key.verify_key)

    @cached_property
    def kid(self) -> bytes:
        """Eight bytes that name this key."""
        return key_id(self.public)

    def sign(self, purpose: Purpose, bind: bytes, body: bytes) -> bytes:
        """64 bytes over exactly this body, for this purpose and binding."""
        return crypto_sign(PREFIXES[purpose] + bind + body, self._secret)[:SIGNATURE_BYTES]

    @cached_property
    def _secret(self) -> bytes:
        return bytes(self._key) + self.public

    def __repr__(self) -> str:
        """Never the seed."""
        return f"KeyPair({self.kid.hex()})"


def verify(public: bytes, purpose: Purpose, bind: bytes, body: bytes, signature: bytes) -> None:
    """Return if the signature holds; raise ProtocolError(E_SIG) otherwise, whatever is wrong with it."""
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        raise ProtocolError(Code.SIGNATURE)  # libsodium trusts the lengths it is given
    try:
        crypto_sign_open(signature + PREFIXES[purpose] + bind + body, public)
    except (BadSignatureError, CryptoError, ValueError, TypeError) as error:
        raise ProtocolError(Code.SIGNATURE) from error
