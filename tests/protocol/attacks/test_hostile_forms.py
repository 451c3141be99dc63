"""Hostile forms that once got an exception of the interpreter, or more than they should; by number where it has one."""

import pytest

from protocol import tokens
from protocol.agent_session import Established, NewKeyset, refusal
from protocol.codec import encode
from protocol.enrollment import make_request, open_answer, open_request
from protocol.envelope import seal
from protocol.errors import Code, ProtocolError
from protocol.keys import UNBOUND, Purpose, digest
from protocol.keyset import KeysetKey, open_keyset
from protocol.master_session import KnownAgent, MasterSession
from protocol.messages.control import CommandFrame, Heartbeat, KeysetFrame
from protocol.messages.reports import Inventory
from tests.fakes.framed import framed
from tests.fakes.trust import AGENT, FAR_MS, NOW_MS, ROOTS, body, document, key, keyset, pair

TOKEN = tokens.JoinToken(b"t" * 8, b"s" * 32, ROOTS.pin())
NOW_S = NOW_MS // 1000
NOT_BYTES = [{"a": 1}, [1, 2], 7, "text", None, 1.5, True]


def refused(code, call, *arguments, **named):
    with pytest.raises(ProtocolError) as caught:
        call(*arguments, **named)
    assert caught.value.code is code, caught.value
    return caught.value


def keys_of(**link):
    """A keyset's keys with another link key: name=(not_before_ms, not_after_ms)."""
    others = tuple(row for row in body().keys if row.role != "link")
    links = tuple(
        KeysetKey(public=key(name).public, role="link", not_before_ms=begins, not_after_ms=ends)
        for name, (begins, ends) in link.items()
    )
    return links + others


# -- enrollment: nobody is known yet ---------------------------------------------------------------------------


@pytest.mark.parametrize("nested", NOT_BYTES, ids=repr)
def test_a_request_whose_inside_is_not_bytes_is_refused(nested):
    agent = key("agent")
    frame = seal(agent, Purpose.ENROL_REQUEST, UNBOUND, encode([nested, agent.public, b"m" * 32]))
    with pytest.raises(ProtocolError):
        open_request(frame)


@pytest.mark.parametrize("nested", NOT_BYTES, ids=repr)
def test_a058_an_answer_of_a_false_master_with_strange_parts_is_refused(nested):
    request = make_request(TOKEN, key("agent"), Inventory(values={}), b"n" * 32, NOW_MS)
    good = encode([AGENT, ROOTS.model_dump(mode="python"), document(), "access"])
    for covered, tag in ((nested, b"m" * 32), (good, nested)):
        frame = seal(key("evil"), Purpose.ENROL_ANSWER, digest(request), encode([covered, tag]))
        with pytest.raises(ProtocolError):
            open_answer(frame, TOKEN, request, now_ms=NOW_MS)


# -- tokens: the first thing that a stranger sends -------------------------------------------------------------


@pytest.mark.parametrize("text", ["", ".", "..", "a\udc80.b.c", "é.b.c", "\0", "a" * 9_000], ids=ascii)
def test_a059_text_that_is_no_token_is_refused(text):
    refused(Code.TOKEN, tokens.token_owner, text)
    refused(Code.TOKEN, tokens.check_token, text, key("agent").public, tokens.TYPE_ASSERTION, "host", NOW_S)


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": "x"},
        {"iat": None},
        {"iat": [1]},
        {"iat": float(NOW_S)},
        {"exp": [1]},
        {"exp": "9"},
        {"exp": True},
        {"exp": NOW_S + tokens.ASSERTION_LIFE_S + 1},
        {"iat": NOW_S - 10**6, "exp": NOW_S + 10**8},
    ],
    ids=repr,
)
def test_a059_an_assertion_with_strange_times_is_refused(changes):
    claims = {"sub": AGENT, "aud": "host", "iat": NOW_S, "exp": NOW_S + 60} | changes
    text = tokens._JWT.encode(claims, key("agent"), algorithm="EdDSA", headers={"typ": tokens.TYPE_ASSERTION})
    refused(Code.TOKEN, tokens.check_token, text, key("agent").public, tokens.TYPE_ASSERTION, "host", NOW_S)


# -- a front end that was taken: it has the link key and nothing else ------------------------------------------


@pytest.mark.parametrize("part", [2**62, 2**31, "text", None, (1, 2), True], ids=repr)
def test_a_keyset_document_with_numbers_for_keys_takes_no_memory(part):
    both = pair().shake()
    for pairs in ([[part, b"s" * 64]], [[key("root").public, part]], part):
        frame = both.from_master(KeysetFrame(document=encode([b"raw", pairs])))
        refused(Code.KEYSET, both.agent.receive, frame, NOW_MS)
    refused(Code.KEYSET, open_keyset, encode([part, []]), ROOTS, now_ms=NOW_MS)


def test_a087_an_acknowledgement_of_what_was_never_sent_is_ignored():
    both = pair().shake()
    both.agent.receive(both.from_master(Heartbeat(at_ms=1), ack=2**63 - 1), NOW_MS)
    assert both.agent.channel.peer_ack == 0
    both.from_agent(Heartbeat(at_ms=1), offset=4)
    both.agent.receive(both.from_master(Heartbeat(at_ms=1), ack=9), NOW_MS)
    assert both.agent.channel.peer_ack == 4
    both.agent.receive(both.from_master(Heartbeat(at_ms=1), ack=1), NOW_MS)
    assert both.agent.channel.peer_ack == 4


def test_a087_the_same_holds_for_an_agent_that_lies():
    both = pair().shake()
    both.master.receive(both.from_agent(Heartbeat(at_ms=1), ack=2**63 - 1))
    assert both.master.channel.peer_ack == 0


def resumed(claimed, sent):
    """An agent that has ever sent so much, and a master that says it has so much."""
    agent, master = pair(sent=sent).agent, pair().master
    hello = agent.hello(b"a" * 32, NOW_MS)
    known = KnownAgent(AGENT, (key("agent").public,), claimed)
    challenge = master.answer(master.greet(hello), known, nonce=b"m" * 32, session_id=b"s" * 16, now_ms=NOW_MS)
    events = agent.receive(challenge, NOW_MS)
    master.finish(next(event.frame for event in events if hasattr(event, "frame")))
    agent.receive(framed(master, Heartbeat(at_ms=1), at_ms=NOW_MS, message_id=b"i" * 16, ack=claimed), NOW_MS)
    return events[-1].received_offset, events[-1].believed_offset, agent.channel.peer_ack


def test_an_acknowledgement_of_an_earlier_session_counts():
    assert resumed(41, sent=50) == (41, 41, 41)


def test_a087_a_master_that_claims_at_the_handshake_what_was_never_sent_is_not_believed():
    assert resumed(41, sent=7) == (41, 7, 7)


def test_a087_a_claim_that_no_stream_reaches_ends_the_attempt():
    assert refused(Code.SEQUENCE, resumed, 2**53 + 1, sent=7).close_code == 4409


# -- keys and time ---------------------------------------------------------------------------------------------


def test_a007_a_link_key_that_expires_during_a_session_is_refused():
    both = pair(agent_keyset=keyset(keys=keys_of(link=(0, NOW_MS + 1_000)))).shake()
    both.agent.receive(both.from_master(Heartbeat(at_ms=1)), NOW_MS + 999)
    refused(Code.KEY_ID, both.agent.receive, both.from_master(Heartbeat(at_ms=2)), NOW_MS + 1_000)


def challenged_by(name, document_, agent):
    master = MasterSession(key(name), keyset_version=2, keyset_document=document_)
    greeting = master.greet(agent.hello(b"a" * 32, NOW_MS))
    known = KnownAgent(AGENT, (key("agent").public,), 0)
    return master.answer(greeting, known, nonce=b"m" * 32, session_id=b"s" * 16, now_ms=NOW_MS)


def test_an_agent_that_was_away_while_the_link_key_was_replaced_comes_back():
    agent = pair().agent
    events = agent.receive(challenged_by("link-2", document(2, keys=keys_of(**{"link-2": (0, FAR_MS)})), agent), NOW_MS)
    assert isinstance(events[0], NewKeyset)
    assert events[0].keyset.version == 2
    assert isinstance(events[-1], Established)


def test_an_agent_that_was_away_while_the_link_key_was_prolonged_comes_back():
    agent = pair(agent_keyset=keyset(keys=keys_of(link=(0, NOW_MS - 1)))).agent
    events = agent.receive(challenged_by("link", document(2), agent), NOW_MS)
    assert isinstance(events[-1], Established)


@pytest.mark.parametrize(
    ("name", "brought", "code"),
    [
        ("link-2", document(2), Code.KEY_ID),
        ("link-2", document(1, keys=keys_of(**{"link-2": (0, FAR_MS)})), Code.KEYSET),
        ("link-2", document(2, keys=keys_of(**{"link-2": (0, FAR_MS)}), expires_ms=NOW_MS), Code.KEYSET),
        ("link-2", document(2, keys=keys_of(**{"link-2": (0, NOW_MS)})), Code.KEY_ID),
        ("command", document(2, keys=keys_of(command=(0, FAR_MS))), Code.ROLE),
    ],
    ids=["not in it", "not newer", "expired", "key expired", "known in another role"],
)
def test_a_stranger_cannot_bring_a_keyset_that_makes_him_known(name, brought, code):
    both = pair()
    refused(code, both.agent.receive, challenged_by(name, brought, both.agent), NOW_MS)
    assert both.agent.channel is None


def test_a_brought_keyset_is_not_kept_when_the_challenge_does_not_hold():
    agent = pair().agent
    frame = bytearray(challenged_by("link-2", document(2, keys=keys_of(**{"link-2": (0, FAR_MS)})), agent))
    frame[-1] ^= 1
    refused(Code.SIGNATURE, agent.receive, bytes(frame), NOW_MS)
    assert agent._keyset.version == 1


# -- what is said of a fault -----------------------------------------------------------------------------------


def start_with(env):
    spec = {"kind": "vllm", "image": "a/b:c", "model": {"uri": "hf://o/r"}, "env": env}
    payload = {"name": "n", "generation": 1, "spec": spec}
    inner = encode(["engine.start", b"c" * 16, NOW_MS, 1_000, payload])
    both = pair().shake()
    envelope = seal(key("command"), Purpose.COMMAND, digest(AGENT.encode()), inner)
    (fault,) = both.agent.receive(both.from_master(CommandFrame(envelope=envelope)), NOW_MS)
    return fault


@pytest.mark.parametrize("env", [{"hf_secret=": "x"}, {"HF_SECRET": "x\0"}, {"hf_secret" * 100: "x"}], ids=len)
def test_a091_the_key_of_a_map_is_input_and_is_not_repeated(env):
    said = refusal(start_with(env))
    assert said.code == Code.SCHEMA
    assert said.field.startswith("engine.start.spec.env.")
    assert "secret" not in (said.field + said.detail).lower()


def test_an_unverified_hello_is_small():
    frame = seal(key("agent"), Purpose.HELLO, UNBOUND, encode(["hello", {"x": [None] * 4_000 + [b"x" * 13_000]}]))
    refused(Code.FRAME, MasterSession.greet, frame)
