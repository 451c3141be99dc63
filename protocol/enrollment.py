"""How a machine becomes an agent: one request, one answer, a secret that never travels.

Request: `[token_id, nonce, public, facts, at_ms, mac]`, sealed by the new key (proof of possession); the MAC is keyed
with the token's secret. Answer: `[agent_id, roots, keyset, access_token, mac]`, sealed by the token key; its MAC is
keyed with the same secret over both, and the pin in the token proves the roots. The pin is kubeadm's idea of a CA hash.
"""

from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from pydantic import ValidationError

from .codec import decode, encode
from .envelope import check, cut, seal
from .errors import Code, ProtocolError
from .keys import UNBOUND, KeyPair, Purpose, check_public, digest
from .keyset import Keyset, Role, Roots, open_keyset
from .messages.reports import Inventory
from .tokens import JoinToken, mac

MAC_REQUEST = b"enrol-request"
MAC_ANSWER = b"enrol-answer"
NONCE_BYTES = 32


@dataclass(frozen=True, slots=True)
class EnrollRequest:
    """A request whose signature and form hold; the MAC is not checked yet: that needs the token's secret."""

    token_id: bytes
    nonce: bytes
    public: bytes
    inventory: Inventory
    at_ms: int
    tag: bytes
    covered: bytes
    frame: bytes

    def prove(self, mac_key: bytes) -> None:
        """Return if the sender knows the token's secret."""
        if not compare_digest(mac(mac_key, MAC_REQUEST, self.covered), self.tag):
            raise ProtocolError(Code.TOKEN, "the token's secret is not known to the sender")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the agent keeps once it believes the answer."""

    agent_id: str
    roots: Roots
    keyset: Keyset
    access_token: str


def make_request(token: JoinToken, key: KeyPair, inventory: Inventory, nonce: bytes, at_ms: int) -> bytes:
    """The body of `POST /v1/enrol`."""
    covered = encode([token.token_id, nonce, key.public, inventory.model_dump(mode="python"), at_ms])
    return seal(
        key,
        Purpose.ENROL_REQUEST,
        UNBOUND,
        encode([covered, key.public, mac(token.mac_key, MAC_REQUEST, covered)]),
    )


def open_request(frame: bytes) -> EnrollRequest:
    """The request, if its form holds and its key signed it."""
    parts = cut(frame)
    try:
        covered, public, tag = decode(parts.body)
        token_id, nonce, inner_public, facts, at_ms = decode(covered)
    except (TypeError, ValueError):
        raise ProtocolError(Code.DECODE, "not an enrollment request") from None
    wanted = ((token_id, bytes), (nonce, bytes), (public, bytes), (at_ms, int), (tag, bytes))
    if not all(type(value) is kind for value, kind in wanted) or public != inner_public or len(nonce) != NONCE_BYTES:
        raise ProtocolError(Code.SCHEMA, "a part of the enrollment request")
    check(parts, check_public(public), Purpose.ENROL_REQUEST, UNBOUND)
    return EnrollRequest(token_id, nonce, public, _inventory(facts), at_ms, tag, covered, frame)


def _inventory(facts: Any) -> Inventory:
    try:
        return Inventory.model_validate(facts)
    except ValidationError:
        raise ProtocolError(Code.SCHEMA, "the inventory", "inventory") from None


def make_answer(
    request: EnrollRequest,
    mac_key: bytes,
    key: KeyPair,
    agent_id: str,
    roots: Roots,
    document: bytes,
    access: str,
) -> bytes:
    """The answer of `POST /v1/enrol`, sealed by the token key."""
    covered = encode([agent_id, roots.model_dump(mode="python"), document, access])
    tag = mac(mac_key, MAC_ANSWER, digest(request.frame) + covered)
    return seal(key, Purpose.ENROL_ANSWER, digest(request.frame), encode([covered, tag]))


def open_answer(frame: bytes, token: JoinToken, request: bytes, *, now_ms: int) -> Enrolled:
    """What the master answers, believed only if the token's secret and pin and the roots' signatures hold."""
    parts = cut(frame)
    try:
        covered, tag = decode(parts.body)
        agent_id, raw_roots, document, access = decode(covered)
        roots = Roots.model_validate(raw_roots)
    except (TypeError, ValueError):  # a ValidationError is a ValueError
        raise ProtocolError(Code.DECODE, "not an enrollment answer") from None
    if type(tag) is not bytes:
        raise ProtocolError(Code.SCHEMA, "a part of the enrollment answer")
    if not compare_digest(mac(token.mac_key, MAC_ANSWER, digest(request) + covered), tag):
        raise ProtocolError(Code.TOKEN, "the answer does not come from the master that made the token")
    if not compare_digest(roots.pin(), token.pin):
        raise ProtocolError(Code.KEYSET, "the master's roots are not those that the token pins")
    keyset = open_keyset(document, roots, now_ms=now_ms)
    public = keyset.publics(Role.TOKEN, now_ms).get(parts.kid)
    if public is None:
        raise ProtocolError(Code.ROLE, "the answer is not signed by a token key")
    check(parts, public, Purpose.ENROL_ANSWER, digest(request))
    if not isinstance(agent_id, str) or not isinstance(access, str):
        raise ProtocolError(Code.SCHEMA, "a part of the enrollment answer")
    return Enrolled(agent_id, roots, keyset, access)
