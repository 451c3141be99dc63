"""Tokens: the join token that an operator carries, and the signed web tokens of the side doors.

The join token is `msj1.<id>.<secret>.<pin>` in base64url; its secret never travels, it keys a MAC. Web tokens are
JWT (RFC 7519) with EdDSA (RFC 8037) through PyJWT, signed with the same library as everything else here.
"""

import base64
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import jwt
from jwt.algorithms import Algorithm
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .errors import Code, ProtocolError
from .keys import KeyPair, digest
from .keyset import PIN_BYTES

PREFIX = "msj1"
TOKEN_ID_BYTES = 8
SECRET_BYTES = 32
ASSERTION_LIFE_S = 60
TYPE_ASSERTION = "mosalama-assertion"
TYPE_ACCESS = "mosalama-access"
CLOCK_LEEWAY_S = 30


@dataclass(frozen=True, slots=True, repr=False)
class JoinToken:
    """What lets one machine enrol once, and tells it which roots to trust."""

    token_id: bytes
    secret: bytes
    pin: bytes

    @property
    def mac_key(self) -> bytes:
        """What both sides key their MACs with; the master keeps this and not the secret that the operator carries."""
        return digest(b"mosalama/1/join\0", self.secret)

    def text(self) -> str:
        """The form that an operator copies."""
        return ".".join([PREFIX, *(_b64(part) for part in (self.token_id, self.secret, self.pin))])

    def __repr__(self) -> str:
        """Never the secret."""
        return f"JoinToken({self.token_id.hex()})"


def parse_join_token(text: str) -> JoinToken:
    """The token of its text; ProtocolError without a word of it."""
    parts = text.strip().split(".")
    if len(parts) != 4 or parts[0] != PREFIX:
        raise ProtocolError(Code.TOKEN, "not a join token: it begins with msj1 and has four parts")
    try:
        token_id, secret, pin = (_unb64(part) for part in parts[1:])
    except ValueError:
        raise ProtocolError(Code.TOKEN, "not a join token: a part is not base64url") from None
    if (len(token_id), len(secret), len(pin)) != (TOKEN_ID_BYTES, SECRET_BYTES, PIN_BYTES):
        raise ProtocolError(Code.TOKEN, "not a join token: a part has the wrong length")
    return JoinToken(token_id, secret, pin)


def mac(mac_key: bytes, purpose: bytes, transcript: bytes) -> bytes:
    """Keyed BLAKE2b with 32 bytes; `purpose` has at most 16."""
    return blake2b(transcript, key=mac_key, person=purpose, digest_size=32).digest()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _b64(raw) != text:
        raise ValueError("not canonical base64url")
    return raw


class _Ed25519(Algorithm):
    """EdDSA for PyJWT with PyNaCl, so that no second crypto library is loaded into the agent."""

    def prepare_key(self, key: Any) -> Any:
        return SigningKey(key.seed) if isinstance(key, KeyPair) else VerifyKey(key)

    def sign(self, msg: bytes, key: Any) -> bytes:
        signed: bytes = key.sign(msg).signature
        return signed

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        try:
            key.verify(msg, sig)
        except (BadSignatureError, ValueError, TypeError):
            return False
        return True

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:
        raise NotImplementedError("keys do not travel in tokens here")

    @staticmethod
    def from_jwk(jwk: Any) -> Any:
        raise NotImplementedError("keys do not travel in tokens here")


def _engine() -> jwt.PyJWT:
    engine = jwt.PyJWT()
    signatures = engine._jws  # noqa: SLF001  # the one place where PyJWT keeps its algorithms for this object
    for name in list(signatures.get_algorithms()):
        signatures.unregister_algorithm(name)
    signatures.register_algorithm("EdDSA", _Ed25519())
    return engine


_JWT = _engine()
"""Knows EdDSA and nothing else, so that no other algorithm can be asked for."""


def assertion(key: KeyPair, agent_id: str, audience: str, now_s: int, jti: str) -> str:
    """The agent's own token for one upgrade: lives a minute, is made anew for each attempt."""
    claims = {"sub": agent_id, "aud": audience, "iat": now_s, "exp": now_s + ASSERTION_LIFE_S, "jti": jti}
    return _JWT.encode(claims, key, algorithm="EdDSA", headers={"typ": TYPE_ASSERTION, "kid": key.kid.hex()})  # type: ignore[arg-type]  # our algorithm prepares a KeyPair


def access_token(key: KeyPair, agent_id: str, agent_kid: bytes, audience: str, now_s: int, life_s: int) -> str:
    """The master's token for the side doors, bound to the agent's key."""
    claims = {
        "sub": agent_id,
        "aud": audience,
        "iat": now_s,
        "exp": now_s + life_s,
        "cnf": {"kid": agent_kid.hex()},
    }
    return _JWT.encode(claims, key, algorithm="EdDSA", headers={"typ": TYPE_ACCESS, "kid": key.kid.hex()})  # type: ignore[arg-type]  # our algorithm prepares a KeyPair


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What an access token says of itself; times are seconds since the epoch."""

    begins_s: int
    ends_s: int
    kid: bytes
    """The key that it is bound to."""


def token_facts(text: str) -> TokenFacts:
    """What its owner may read in it without the master's key: only for knowing when to ask for the next."""
    try:
        claims = _JWT.decode(text, options={"verify_signature": False})
        begins, ends, kid = claims["iat"], claims["exp"], bytes.fromhex(claims["cnf"]["kid"])
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):
        raise ProtocolError(Code.TOKEN, "not an access token") from None
    if type(begins) is not int or type(ends) is not int:
        raise ProtocolError(Code.TOKEN, "a token whose times are not whole seconds")
    return TokenFacts(begins, ends, kid)


def token_owner(text: str) -> tuple[str, str]:
    """Of what kind a token says it is and who from, before anything is verified: only for finding the key for it."""
    try:
        token = _JWT.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):  # a ValueError: text of a header that is not UTF-8
        raise ProtocolError(Code.TOKEN, "not a token") from None
    subject = token["payload"].get("sub")
    if not isinstance(subject, str):
        raise ProtocolError(Code.TOKEN, "a token without a subject")
    return str(token["header"].get("typ")), subject


def check_token(text: str, public: bytes, kind: str, audience: str, now_s: int) -> dict[str, Any]:
    """The claims of a token of this kind for this audience, signed by this key and alive at `now_s`."""
    try:
        token = _JWT.decode_complete(
            text,
            public,
            algorithms=["EdDSA"],
            audience=audience,
            options={"require": ["sub", "aud", "iat", "exp"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError):  # as above
        raise ProtocolError(Code.TOKEN, "a token that does not hold") from None
    if token["header"].get("typ") != kind:
        raise ProtocolError(Code.TOKEN, "a token of another kind")
    claims: dict[str, Any] = token["payload"]
    begins, ends = claims["iat"], claims["exp"]
    if type(begins) is not int or type(ends) is not int:
        raise ProtocolError(Code.TOKEN, "a token whose times are not whole seconds")
    if kind == TYPE_ASSERTION and ends - begins > ASSERTION_LIFE_S:
        raise ProtocolError(Code.TOKEN, "an assertion that would live too long")
    if not begins - CLOCK_LEEWAY_S <= now_s < ends + CLOCK_LEEWAY_S:
        raise ProtocolError(Code.TOKEN, "a token outside its time")
    return claims
