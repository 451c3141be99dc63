"""Well-signed nonsense against every parser of trust: requests, answers, keysets, tokens and commands.

Bytes that are changed at random almost never pass a signature, so here values are changed inside good messages and
signed again. `fuzz_frames` gives each of these a turn.
"""

import json
import random

from protocol import tokens
from protocol.codec import decode, encode
from protocol.command import open_command, seal_command
from protocol.enrollment import MAC_ANSWER, make_answer, make_request, open_answer, open_request
from protocol.envelope import cut, seal
from protocol.keys import UNBOUND, Purpose, digest
from protocol.keyset import open_keyset
from protocol.messages.commands import EngineStart
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Inventory
from tests.fakes.trust import AGENT, NOW_MS, ROOTS, document, key

STRANGE = (
    None,
    True,
    -1,
    2**40,
    2**63 - 1,
    1.5,
    "",
    "x",
    "\0",
    b"",
    b"x" * 32,
    b"\x81\xa1a\x01",
    (),
    (1,),
    {},
    {"a": 1},
)
TOKEN = tokens.JoinToken(b"t" * 8, b"s" * 32, ROOTS.pin())
REQUEST = make_request(TOKEN, key("agent"), Inventory(values={"cpu.count": 2}), b"n" * 32, NOW_MS)
ANSWER = make_answer(open_request(REQUEST), TOKEN.mac_key, key("token"), AGENT, ROOTS, document(), "access")
SPEC = EngineSpec(kind="vllm", image="a/b:c", model=ModelSource(uri="hf://o/r"), env={"A": "b"})
COMMAND = seal_command(key("command"), AGENT, b"c" * 16, NOW_MS, 1_000, EngineStart(name="n", generation=1, spec=SPEC))
CLAIMS = {"sub": AGENT, "aud": "host", "iat": NOW_MS // 1000, "exp": NOW_MS // 1000 + 60, "jti": "j"}
TEXT_CLAIMS = (None, True, -1, 2**70, 1.5, float("nan"), "", "x", [], ["host"], {}, {"a": [1]})
PUBLICS = {key("command").kid: key("command").public}


def change(rng: random.Random, value, strange=STRANGE):
    """The same value with one part of it, at any depth, replaced, dropped or doubled."""
    if rng.random() < 0.3 or not isinstance(value, dict | list | tuple) or not value:
        return rng.choice(strange)
    if isinstance(value, dict):
        name = rng.choice(list(value))
        if rng.random() < 0.2:
            return {other: inner for other, inner in value.items() if other != name} | {"s3cret": 1}
        return value | {name: change(rng, value[name], strange)}
    parts, at = list(value), rng.randrange(len(value))
    if rng.random() < 0.1:
        return parts[:at] if rng.random() < 0.5 else [*parts, parts[at]]
    parts[at] = change(rng, parts[at], strange)
    return parts


def nested(rng: random.Random, raw: bytes) -> bytes:
    """A body whose first part is a body of its own, changed outside or inside."""
    outer = list(decode(raw))
    if rng.random() < 0.3:
        return encode(change(rng, outer))
    return encode([encode(change(rng, decode(outer[0]))), *outer[1:]])


def request(rng: random.Random) -> object:
    return open_request(seal(key("agent"), Purpose.ENROL_REQUEST, UNBOUND, nested(rng, cut(REQUEST).body)))


def answer(rng: random.Random) -> object:
    """Half of them with a MAC that holds: a master that has the token's secret and lies."""
    body = nested(rng, cut(ANSWER).body)
    inside = decode(body)
    if rng.random() < 0.5 and isinstance(inside, tuple) and inside and isinstance(inside[0], bytes):
        body = encode([inside[0], tokens.mac(TOKEN.mac_key, MAC_ANSWER, digest(REQUEST) + inside[0])])
    return open_answer(seal(key("token"), Purpose.ENROL_ANSWER, digest(REQUEST), body), TOKEN, REQUEST, now_ms=NOW_MS)


def keyset(rng: random.Random) -> object:
    """A third of them signed by the root."""
    raw, signatures = decode(document(2))
    if rng.random() < 0.33:
        raw = encode(change(rng, decode(raw)))
        return open_keyset(
            encode([raw, [[key("root").public, key("root").sign(Purpose.KEYSET, UNBOUND, raw)]]]), ROOTS, now_ms=NOW_MS
        )
    return open_keyset(encode(change(rng, (raw, signatures))), ROOTS, now_ms=NOW_MS)


def token(rng: random.Random) -> object:
    claims, head = change(rng, CLAIMS, TEXT_CLAIMS), {"typ": tokens.TYPE_ASSERTION, "alg": "EdDSA"}
    text = signed(claims, head if rng.random() < 0.8 else change(rng, head, TEXT_CLAIMS))
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(("\udc80", ".", "é", "\0", "=")) + text[at + 1 :]
    tokens.check_token(text, key("agent").public, tokens.TYPE_ASSERTION, "host", NOW_MS // 1000)
    return tokens.token_owner(text)


def signed(claims: object, head: object) -> str:
    """A web token of whatever values, with a signature that holds."""
    text = ".".join(tokens._b64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{tokens._b64(key('agent')._key.sign(text.encode()).signature)}"


def command(rng: random.Random) -> object:
    body = encode(change(rng, decode(cut(COMMAND).body)))
    return open_command(seal(key("command"), Purpose.COMMAND, digest(AGENT.encode()), body), AGENT, PUBLICS)


PARSERS = (request, answer, keyset, token, command)
