"""Writes protocol/vectors/: signed frames for a master in another language. `python -m tests.protocol.vectors`.

Ed25519 is deterministic (RFC 8032), so the same keys, times and nonces always give the same bytes.
"""

import json
from pathlib import Path

from protocol.bundle import join, split
from protocol.command import seal_command
from protocol.enrollment import make_answer, make_request, open_request
from protocol.envelope import cut, seal
from protocol.errors import CLOSES, Code
from protocol.keys import UNBOUND, Purpose, digest
from protocol.limits import BUNDLE_MAX_MESSAGES
from protocol.messages.commands import AgentStatus, EngineStart
from protocol.messages.control import CommandFrame, Heartbeat
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import CommandResult, Inventory
from protocol.tokens import JoinToken
from tests.fakes.trust import AGENT, NOW_MS, ROOTS, document, key, pair

FILE = Path(__file__).parents[2] / "protocol" / "vectors" / "vectors.json"
NOTE = (
    "For tests only: every seed here is public. Bytes are hex. A frame is good when it is cut at the offsets of "
    'docs/wire.md and its signature by `key` covers "mosalama/1/" + purpose + NUL + bind + body.'
)
NAMES = ("root", "link", "command", "token", "agent", "stranger")
TOKEN = JoinToken(b"t" * 8, b"s" * 32, ROOTS.pin())
SPEC = EngineSpec(kind="llamacpp", image="a/b:c", model=ModelSource(uri="hf://org/repo@main:m.gguf"))


def document_of_vectors() -> dict:
    """Keys, the good frames of one beginning, and bad frames with the code that refuses them."""
    keys = {name: {"seed": key(name).seed, "public": key(name).public, "kid": key(name).kid} for name in NAMES}
    good, bad = _frames()
    return _hexed(
        {
            "note": NOTE,
            "keys": keys,
            "agent_id": AGENT,
            "now_ms": NOW_MS,
            "join_token": TOKEN.text(),
            "roots_pin": ROOTS.pin(),
            "keyset_document": document(),
            "good": good,
            "bad": bad,
        }
    )


def text() -> str:
    """The file."""
    return json.dumps(document_of_vectors(), indent=1) + "\n"


def _frames() -> tuple[list[dict], list[dict]]:
    both = pair().shake()
    hash_, known = both.agent.channel.bind, digest(AGENT.encode())
    start = seal_command(
        key("command"), AGENT, b"c" * 16, NOW_MS, 60_000, EngineStart(name="chat", generation=1, spec=SPEC)
    )
    stolen = seal_command(key("link"), AGENT, b"c" * 16, NOW_MS, 60_000, AgentStatus())
    request = make_request(TOKEN, key("agent"), Inventory(values={"cpu.count": 2}), b"n" * 32, NOW_MS)
    answer = make_answer(open_request(request), TOKEN.mac_key, key("token"), AGENT, ROOTS, document(), "access")
    command = both.from_master(CommandFrame(envelope=start), offset=1)
    result = both.from_agent(CommandResult(command_id=(b"c" * 16).hex(), state="done"), offset=1, ack=1)
    together = _together()
    good = [
        _good("enrollment request", request, "agent", Purpose.ENROL_REQUEST, UNBOUND),
        _good("enrollment answer", answer, "token", Purpose.ENROL_ANSWER, digest(request)),
        _good("hello", both.hello, "agent", Purpose.HELLO, UNBOUND),
        _good("challenge", both.challenge, "link", Purpose.CHALLENGE, digest(both.hello)),
        _good("auth", both.auth, "agent", Purpose.AUTH, digest(both.hello, both.challenge)),
        _good("command, inner", start, "command", Purpose.COMMAND, known),
        _good("command, seq 1 of the master", command, "link", Purpose.TO_AGENT, hash_),
        _good("result, seq 1 of the agent", result, "agent", Purpose.TO_MASTER, hash_),
        _good("a bundle, seq 2 to 4 of the master", together["master"], "link", Purpose.TO_AGENT, hash_),
        _good("a bundle, seq 2 to 4 of the agent", together["agent"], "agent", Purpose.TO_MASTER, hash_),
    ]
    bad = [
        _bad("the same frame again", command, Code.SEQUENCE),
        _bad("a bit of the signature", command[:-1] + bytes([command[-1] ^ 1]), Code.SIGNATURE),
        _bad("a frame of the agent, sent back to it", result, Code.KEY_ID),
        _bad("cut by one byte", command[:-1], Code.FRAME),
        _bad("one byte more", command + b"\0", Code.FRAME),
        _bad("a command by the link key", both.from_master(CommandFrame(envelope=stolen), offset=2), Code.ROLE),
        _bad("a number left out", _skipping(both), Code.SEQUENCE),
        *(_bad(name, _sealed(both, body), code) for name, body, code in _broken(cut(together["master"]).body)),
    ]
    return good, bad


def _together() -> dict[str, bytes]:
    """A bundle of each side, behind the first frame of the same session; the second message is refused by itself."""
    both = pair().shake()
    both.from_master(Heartbeat(at_ms=1))
    both.from_agent(Heartbeat(at_ms=1))
    unknown = Heartbeat.model_construct(at_ms=-1)
    said = (Heartbeat(at_ms=1), unknown, Heartbeat(at_ms=3))
    return {side: both.together(side, *said) for side in ("agent", "master")}


def _broken(body: bytes) -> list[tuple[str, bytes, Code]]:
    """A bundle of the master that is none any more, or none in this order."""
    first, second, third = split(body)
    return [
        ("a bundle of one message", join([first]), Code.FRAME),
        ("a bundle whose last length lies", join([first, second])[: -len(second)] + second[:-1], Code.FRAME),
        ("a bundle with a byte behind", body + b"\0", Code.FRAME),
        ("a bundle with an empty message", join([first, b""]), Code.FRAME),
        ("a bundle in a bundle", join([first, join([second, third])]), Code.FRAME),
        ("a bundle of too many", join([first] * (BUNDLE_MAX_MESSAGES + 1)), Code.FRAME),
        ("a bundle in another order", join([first, third, second]), Code.SEQUENCE),
        ("a message twice in a bundle", join([first, first]), Code.SEQUENCE),
    ]


def _sealed(both, body: bytes) -> bytes:
    return seal(key("link"), Purpose.TO_AGENT, both.agent.channel.bind, body)


def _skipping(both) -> bytes:
    both.from_master(Heartbeat(at_ms=1))
    return both.from_master(Heartbeat(at_ms=2))


def _good(name: str, frame: bytes, signer: str, purpose: Purpose, bind: bytes) -> dict:
    parts = cut(frame)
    shown = {"key": signer, "purpose": str(purpose), "bind": bind, "body": parts.body, "signature": parts.signature}
    return {"name": name, **shown, "frame": frame}


def _bad(name: str, frame: bytes, code: Code) -> dict:
    return {"name": name, "code": str(code), "closes": CLOSES.get(code), "frame": frame}


def _hexed(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _hexed(inner) for name, inner in value.items()}
    return [_hexed(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
