"""Attacks on the protocol, by their number in the catalogue; those over sockets are beside the link and the master."""

import pytest

from protocol.codec import encode
from protocol.command import open_command, seal_command
from protocol.envelope import cut, seal
from protocol.errors import CLOSES, Code, ProtocolError
from protocol.keys import Purpose, digest
from protocol.keyset import KeysetKey, open_keyset, sign_keyset
from protocol.messages.commands import AgentStatus, EngineStart
from protocol.messages.control import CommandFrame, Heartbeat
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.registry import COMMAND_TABLE, dump, parse
from tests.fakes.trust import AGENT, FAR_MS, NOW_MS, ROOTS, body, document, key, keyset, pair

LINK_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture
def both():
    return pair().shake()


def refused(code, call, *arguments):
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    assert caught.value.code is code, caught.value
    return caught.value


def beat(both, **changes):
    return both.from_master(Heartbeat(at_ms=1), **changes)


def sealed(both, head, key_name="link", purpose=Purpose.TO_AGENT, bind=None):
    return seal(key(key_name), purpose, bind or both.agent.channel.bind, encode(head))


def head(both, **changes):
    parts = {"word": "heartbeat", "sid": both.agent.channel.session_id, "seq": 1, "ack": 0, "offset": None}
    parts |= {"at": NOW_MS, "mid": b"i" * 16, "reply": None, "payload": {"at_ms": 1}}
    return list((parts | changes).values())


def test_a001_sig_flip_bit(both):
    frame = bytearray(beat(both))
    frame[-1] ^= 1
    error = refused(Code.SIGNATURE, both.agent.receive, bytes(frame), NOW_MS)
    assert error.close_code == 4401


def test_a002_sig_body_flip(both):
    frame = bytearray(beat(both))
    frame[20] ^= 1
    refused(Code.SIGNATURE, both.agent.receive, bytes(frame), NOW_MS)


def test_a003_sig_wrong_ctx_reflected_frame(both):
    frame = both.from_agent(Heartbeat(at_ms=1))
    with pytest.raises(ProtocolError) as caught:
        both.agent.receive(frame, NOW_MS)
    assert caught.value.close_code == 4401


def test_a004_sig_wrong_role_command_by_the_link_key(both):
    stolen = seal_command(key("link"), AGENT, b"c" * 16, NOW_MS, 1_000, AgentStatus())
    error = refused(Code.ROLE, both.agent.receive, both.from_master(CommandFrame(envelope=stolen)), NOW_MS)
    assert error.close_code == 4401


def test_a004_sig_wrong_role_frame_by_the_command_key(both):
    refused(Code.ROLE, both.agent.receive, sealed(both, head(both), "command"), NOW_MS)


def test_a005_sig_unknown_kid(both):
    error = refused(Code.KEY_ID, both.agent.receive, sealed(both, head(both), "stranger"), NOW_MS)
    assert error.close_code == 4401


def test_a006_sig_revoked_kid():
    both = pair(agent_keyset=keyset(revoked=(key("link").kid,)))
    with pytest.raises(ProtocolError) as caught:
        both.shake()
    assert caught.value.close_code == 4401


def test_a007_sig_expired_key():
    old = KeysetKey(public=key("link").public, role="link", not_before_ms=0, not_after_ms=NOW_MS - 1)
    both = pair(agent_keyset=keyset(keys=(old,)))
    with pytest.raises(ProtocolError) as caught:
        both.shake()
    assert caught.value.close_code == 4401


def test_a008_sig_malleated_s(both):
    frame = beat(both)
    scalar = int.from_bytes(frame[-32:], "little") + LINK_ORDER
    refused(Code.SIGNATURE, both.agent.receive, frame[:-32] + scalar.to_bytes(32, "little"), NOW_MS)


def test_a010_sig_zero(both):
    refused(Code.SIGNATURE, both.agent.receive, beat(both)[:-64] + bytes(64), NOW_MS)


def test_a011_kid_collision():
    twice = (body().keys[0], body().keys[0])
    with pytest.raises(ProtocolError) as caught:
        open_keyset(document(keys=twice), ROOTS, now_ms=NOW_MS)
    assert caught.value.code is Code.KEYSET


def test_a012_replay_same_session(both):
    frame = beat(both)
    both.agent.receive(frame, NOW_MS)
    assert refused(Code.SEQUENCE, both.agent.receive, frame, NOW_MS).close_code == 4409


def test_a013_replay_old_session(both):
    frame = beat(both)
    later = pair().shake(session=b"t" * 16)
    refused(Code.SIGNATURE, later.agent.receive, frame, NOW_MS)


def test_a014_replay_handshake(both):
    later = pair()
    later.agent.hello(b"b" * 32, NOW_MS)
    refused(Code.SIGNATURE, later.agent.receive, both.challenge, NOW_MS)


def test_a014_replay_auth(both):
    later = pair()
    hello = later.agent.hello(b"b" * 32, NOW_MS)
    from protocol.master_session import KnownAgent

    known = KnownAgent(AGENT, (key("agent").public,), 0)
    later.master.answer(later.master.greet(hello), known, nonce=b"n" * 32, session_id=b"u" * 16, now_ms=NOW_MS)
    refused(Code.SIGNATURE, later.master.finish, both.auth)


def test_a015_reorder_pair(both):
    first, second = beat(both), beat(both)
    refused(Code.SEQUENCE, both.agent.receive, second, NOW_MS)
    assert first


@pytest.mark.parametrize("seq", [0, 2, 2**63 - 1])
def test_a016_seq_gap_zero_max(both, seq):
    refused(Code.SEQUENCE, both.agent.receive, sealed(both, head(both, seq=seq)), NOW_MS)


def test_a017_wrong_sid(both):
    refused(Code.SESSION, both.agent.receive, sealed(both, head(both, sid=b"x" * 16)), NOW_MS)


def test_a018_cross_agent(both):
    frame = seal(key("agent-b"), Purpose.TO_MASTER, both.master.channel.bind, encode(head(both)))
    refused(Code.KEY_ID, both.master.receive, frame)


def test_a024_downgrade_strip():
    both = pair()
    hello = bytearray(both.agent.hello(b"a" * 32, NOW_MS))
    at = hello.index(b"versions") + len("versions")
    hello[at + 1] ^= 2
    from protocol.master_session import KnownAgent

    known = KnownAgent(AGENT, (key("agent").public,), 0)
    greeting = both.master.greet(bytes(hello))
    with pytest.raises(ProtocolError) as caught:
        both.master.answer(greeting, known, nonce=b"m" * 32, session_id=b"s" * 16, now_ms=NOW_MS)
    assert caught.value.close_code == 4401


def test_a025_downgrade_offer_old():
    both = pair(minimum=2)
    with pytest.raises(ProtocolError) as caught:
        both.shake()
    assert caught.value.code is Code.VERSION
    assert caught.value.close_code == 4406


@pytest.mark.parametrize(("skew_s", "good"), [(25, True), (200, True), (-200, True), (3_600, False), (-3_600, False)])
def test_a026_clock_skew(skew_s, good):
    both = pair()
    if good:
        both.shake(master_now=NOW_MS + skew_s * 1000)
        assert both.agent.skew_ms == skew_s * 1000
        return
    with pytest.raises(ProtocolError) as caught:
        both.shake(master_now=NOW_MS + skew_s * 1000)
    assert caught.value.close_code == 4408


def test_a028_truncated_envelope(both):
    frame = beat(both)
    for size in range(len(frame)):
        refused(Code.FRAME, cut, frame[:size])
    refused(Code.FRAME, cut, frame + b"\0")


def content_fault(both, frame):
    (event,) = both.agent.receive(frame, NOW_MS)
    return event.error.code


def signed_bytes(both, raw):
    return seal(key("link"), Purpose.TO_AGENT, both.agent.channel.bind, raw)


@pytest.mark.parametrize(
    "name",
    [
        "a029_truncated",
        "a030_trailing",
        "a031_deep",
        "a032_map_bomb",
        "a034_dup_keys",
        "a035_ext",
        "a039_key",
        "a040_utf8",
    ],
)
def test_a029_to_a040_signed_but_not_plain_is_refused_and_the_session_lives(both, name):
    good = encode(head(both))
    raw = {
        "a029_truncated": good[:-1],
        "a030_trailing": good + b"\0",
        "a031_deep": b"\x91" * 60_000,
        "a032_map_bomb": b"\xdf\xff\xff\xff\xff",
        "a034_dup_keys": good[:-8] + b"\x82\xa1a\x01\xa1a\x02",
        "a035_ext": b"\x91\xc7\x01\x05x",
        "a039_key": b"\x91\x81\x01\x02",
        "a040_utf8": b"\x91\xa1\xff",
    }[name]
    assert content_fault(both, signed_bytes(both, raw)) in {Code.DECODE, Code.SCHEMA}
    (alive,) = both.agent.receive(sealed(both, head(both, seq=2)), NOW_MS)
    assert alive.message == Heartbeat(at_ms=1)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"at_ms": 2**63 - 1}, None),
        ({"at_ms": True}, Code.SCHEMA),
        ({"at_ms": "1"}, Code.SCHEMA),
        ({"at_ms": 1.0}, Code.SCHEMA),
        ({"at_ms": -1}, Code.SCHEMA),
        ({"at_ms": 1, "more": 1}, Code.UNKNOWN_FIELD),
        ({}, Code.SCHEMA),
    ],
)
def test_a036_to_a038_type_tricks_are_refused(both, payload, code):
    (event,) = both.agent.receive(sealed(both, head(both, payload=payload)), NOW_MS)
    assert getattr(getattr(event, "error", None), "code", None) is code


def test_a037_nan_inf(both):
    for value in (float("nan"), float("inf")):
        frame = sealed(both, head(both, seq=both.agent.channel.received + 1, payload={"at_ms": value}))
        assert content_fault(both, frame) in {Code.SCHEMA, Code.DECODE}


def test_a060_keyset_rollback_freeze_under_threshold():
    for bad, at_least in ((document(1), 2), (document(1, expires_ms=NOW_MS), 0), (sign_keyset(body(), []), 0)):
        with pytest.raises(ProtocolError) as caught:
            open_keyset(bad, ROOTS, now_ms=NOW_MS, at_least=at_least)
        assert caught.value.code is Code.KEYSET


def test_a063_unknown_command():
    refused(Code.UNKNOWN_OP, parse, COMMAND_TABLE, "exec", {})


def test_a064_unknown_field():
    spec = EngineSpec(kind="vllm", image="a/b:c", model=ModelSource(uri="hf://o/r"))
    payload = dump(EngineStart(name="n", generation=1, spec=spec))
    payload["spec"]["privileged"] = True
    refused(Code.UNKNOWN_FIELD, parse, COMMAND_TABLE, "engine.start", payload)


@pytest.mark.parametrize("name", ["../../etc", "..%2f", "a/b", ".", "a" * 65, "name\n", "．．", "-x", ""])
def test_a065_engine_name_traversal(name):
    refused(Code.SCHEMA, parse, COMMAND_TABLE, "engine.stop", {"name": name, "generation": 1})


@pytest.mark.parametrize(
    "field",
    ["privileged", "cap_add", "security_opt", "pid_mode", "devices", "runtime", "sysctls", "volumes_from", "mounts"],
)
def test_a074_privilege_flags_are_no_fields(field):
    spec = EngineSpec(kind="vllm", image="a/b:c", model=ModelSource(uri="hf://o/r"))
    payload = dump(EngineStart(name="n", generation=1, spec=spec))
    payload["spec"][field] = ["x"]
    refused(Code.UNKNOWN_FIELD, parse, COMMAND_TABLE, "engine.start", payload)


def test_a091_error_leak(both):
    secret = "hf_plantedsecret"
    (event,) = both.agent.receive(sealed(both, head(both, payload={"at_ms": secret, secret: 1})), NOW_MS)
    assert secret not in str(event.error)
    assert secret not in repr(event.error)


def test_every_fatal_code_has_a_close_code():
    assert all(4400 <= code < 4500 for code in CLOSES.values())


def test_a_command_signed_for_this_agent_by_the_command_key_opens():
    envelope = seal_command(key("command"), AGENT, b"c" * 16, NOW_MS, 1_000, AgentStatus())
    assert open_command(envelope, AGENT, {key("command").kid: key("command").public}).command == AgentStatus()
    assert digest(b"x") != digest(b"y")
    assert FAR_MS > NOW_MS
