"""Bundles that lie, each under a signature that holds: rows of the catalogue against both sides, over TLS."""

import secrets

import pytest

from actors.link.messages import FrameRefused, Got
from protocol.bundle import join
from protocol.codec import encode
from protocol.command import seal_command
from protocol.envelope import seal
from protocol.handshake import FEATURES, seal_step, session_hash
from protocol.keys import Purpose, digest
from protocol.limits import BUNDLE_MAX_MESSAGES
from protocol.messages.commands import AgentDrain
from protocol.messages.control import Challenge, Heartbeat, Refused
from tests.bed.processes import wait_until
from tests.fakes.audited import SECRET, Audited
from tests.fakes.raw_agent import ended
from tests.fakes.trust import AGENT, NOW_MS, key
from tests.protocol.attacks.test_rows_agent import one_line_one_count
from tests.protocol.attacks.test_rows_master import body_of, head

pytestmark = pytest.mark.timeout(120)
SINGLES = tuple(feature for feature in FEATURES if feature != "bundle")


def beats(talk, *numbers):
    """Good messages with these numbers."""
    return [encode(talk.head(seq=number)) for number in numbers]


def command(talk, seq, offset):
    """A good command: what must not come through where its frame is refused."""
    envelope = seal_command(key("command"), AGENT, secrets.token_bytes(16), NOW_MS, 60_000, AgentDrain(enabled=True))
    return encode(talk.head(word="command", seq=seq, offset=offset, payload={"envelope": envelope}))


def event(talk, seq, offset, kind):
    """A good event of an agent."""
    payload = {"event_id": secrets.token_hex(16), "at_ms": 1, "kind": kind, "severity": "info", "subject": "s"}
    return encode(head(talk, word="event", seq=seq, offset=offset, payload=payload | {"text": "t"}))


# -- what ends the session: of a frame whose signature holds, nothing is taken ----------------------------------

FORMS = {
    "a100_one": lambda good: join(good[:1]),
    "a100_too_many": lambda good: join([good[0]] * (BUNDLE_MAX_MESSAGES + 1)),
    "a100_nested": lambda good: join([good[0], join(good)]),
    "a100_empty_message": lambda good: join([good[0], b""]),
    "a100_trailing": lambda good: join(good) + b"\0",
    "a100_longer": lambda good: join(good[:1]) + b"\xc5\xff\xff" + good[1],
    "a100_shorter": lambda good: join(good)[:-1],
}


@pytest.mark.parametrize("name", FORMS)
def test_lengths_that_lie_end_the_agents_session(attack, name):
    master, agent = attack()
    talk = master.conversation()
    talk.send(talk.body(FORMS[name]([command(talk, 1, 1), command(talk, 2, 2)])))
    assert talk.closed() == 4400
    one_line_one_count(agent, "E_FRAME", fatal=True)


@pytest.mark.parametrize("name", FORMS)
def test_lengths_that_lie_end_the_session_of_the_agent_that_says_so(wild, name):
    kind = f"lies.{secrets.token_hex(4)}"
    with wild.agent().talk() as talk, Audited(wild, "link", "E_FRAME"):
        talk.socket.send(body_of(talk, FORMS[name]([event(talk, 1, 1, kind), event(talk, 2, 2, kind)])))
        ended(talk, 4400, "E_FRAME")
    assert wild.events(kind) == []


@pytest.mark.parametrize("numbers", [(2, 1), (1, 1), (1, 3), (2, 3)], ids="a099_{}".format)
def test_another_order_takes_the_whole_frame_with_it(attack, wild, numbers):
    master, agent = attack()
    talk = master.conversation()
    talk.send(talk.body(join([command(talk, seq, at) for at, seq in enumerate(numbers, start=1)])))
    assert talk.closed() == 4409
    one_line_one_count(agent, "E_SEQ", fatal=True)
    kind = f"order.{secrets.token_hex(4)}"
    with wild.agent().talk() as talk, Audited(wild, "link", "E_SEQ"):
        talk.socket.send(body_of(talk, join([event(talk, seq, at, kind) for at, seq in enumerate(numbers, start=1)])))
        ended(talk, 4409, "E_SEQ")
    assert wild.events(kind) == []


def test_a097_a_bundle_comes_once(attack, wild):
    master, agent = attack()
    talk = master.conversation()
    frame = talk.body(join(beats(talk, 1, 2)))
    talk.send(frame, frame)
    assert talk.closed() == 4409
    one_line_one_count(agent, "E_SEQ", fatal=True)
    with wild.agent().talk() as talk, Audited(wild, "link", "E_SEQ"):
        frame = body_of(talk, join([encode(head(talk, seq=seq)) for seq in (1, 2)]))
        talk.socket.send(frame)
        talk.socket.send(frame)
        ended(talk, 4409, "E_SEQ")


def test_a102_a_bundle_opens_in_its_own_session_only(attack, wild):
    master, agent = attack()
    first = master.conversation()
    recorded = first.body(join(beats(first, 1, 2)))
    first.socket.close()
    second = master.conversation()
    second.send(recorded)
    assert second.closed() == 4401
    one_line_one_count(agent, "E_SIG", fatal=True)
    known = wild.agent()
    with known.talk() as talk:
        recorded = body_of(talk, join([encode(head(talk, seq=seq)) for seq in (1, 2)]))
    with known.talk() as talk, Audited(wild, "link", "E_SIG"):
        talk.socket.send(recorded)
        ended(talk, 4401, "E_SIG")


# -- what is one message's own matter ---------------------------------------------------------------------------

BAD = {
    "a098_unread": lambda parts: b"\x99\xff",
    "a098_unknown": lambda parts: encode(parts(word="exec")),
    "a098_schema": lambda parts: encode(parts(payload={"at_ms": SECRET})),
    "a098_field": lambda parts: encode(parts(payload={"at_ms": 1, SECRET: 1})),
    "a098_trailing": lambda parts: encode(parts()) + b"\0",
    "a098_deep": lambda parts: b"\x91" * 900,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_of_a_master_is_refused_alone(attack, name):
    master, agent = attack()
    talk = master.conversation()
    bad = BAD[name](lambda **changes: talk.head(seq=2, **changes))
    talk.send(talk.body(join([command(talk, 1, 1), bad, command(talk, 3, 2)])))
    said = talk.received(Refused).message
    agent.told.wait(Got, lambda got: got.commanded.offset == 2)
    assert [got.commanded.offset for got in agent.told.of(Got)] == [1, 2]
    assert [refused.code for refused in agent.told.of(FrameRefused)] == [said.code]
    assert not agent.told.of(FrameRefused)[0].fatal
    assert SECRET not in repr([said, agent.told.messages])
    talk.send(talk.body(join([command(talk, 4, 3), *beats(talk, 5)])))
    agent.told.wait(Got, lambda got: got.commanded.offset == 3)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_of_an_agent_is_refused_alone(wild, name):
    kind = f"neighbour.{secrets.token_hex(4)}"
    with wild.agent().talk() as talk:
        bad = BAD[name](lambda **changes: head(talk, seq=2, **changes))
        beat = encode(head(talk, seq=4))
        with Audited(wild, "message", code_of(name)):
            talk.socket.send(body_of(talk, join([event(talk, 1, 1, kind), bad, event(talk, 3, 2, kind), beat])))
            said = talk.events(Refused).message
            talk.events(Heartbeat)
        assert said.code == code_of(name)
        assert SECRET not in repr(said)
        wild_events = lambda: len(wild.events(kind)) == 2  # noqa: E731  # a name for what is waited for
        wait_until(wild_events, timeout_s=20, what="both neighbours are kept")


def code_of(name):
    codes = {"a098_unknown": "E_UNKNOWN_OP", "a098_schema": "E_SCHEMA", "a098_field": "E_UNKNOWN_FIELD"}
    return codes.get(name, "E_DECODE")


def test_a103_many_bad_messages_in_one_frame_count_one_by_one(wild):
    """Three in a minute are told; then the session ends, however they came."""
    with wild.agent().talk() as talk, Audited(wild, "message", "E_UNKNOWN_OP", 4):
        bodies = [encode(head(talk, seq=seq, word="exec")) for seq in range(1, BUNDLE_MAX_MESSAGES + 1)]
        talk.socket.send(body_of(talk, join(bodies)))
        said = talk.session.receive(talk.socket.recv(10), talk.agent.now_ms())
        assert [one.message.code for one in said] == ["E_UNKNOWN_OP"] * 3
        ended(talk, 4422)


# -- where it was not agreed on -----------------------------------------------------------------------------------


def test_a101_an_agent_that_did_not_agree_gets_no_message_out_of_a_bundle(attack):
    """A challenge without the feature, and then a bundle all the same."""

    def handshake(socket, session):
        hello = socket.recv(10)
        says = {"version": 1, "nonce": b"n" * 32, "at_ms": NOW_MS, "session_id": b"s" * 16, "received_offset": 0}
        challenge = seal_step(key("link"), Purpose.CHALLENGE, digest(hello), Challenge(**says, features=SINGLES))
        socket.send(challenge)
        bind = session_hash(hello, challenge, socket.recv(10))
        envelope = seal_command(key("command"), AGENT, b"c" * 16, NOW_MS, 60_000, AgentDrain(enabled=True))
        parts = [["command", b"s" * 16, seq, 0, seq, NOW_MS, b"i" * 16, None, {"envelope": envelope}] for seq in (1, 2)]
        socket.send(seal(key("link"), Purpose.TO_AGENT, bind, join([encode(part) for part in parts])))
        socket.recv(10)

    _, agent = attack(handshake=handshake)
    one_line_one_count(agent, "E_DECODE", fatal=False)


def test_a101_a_master_that_did_not_agree_gets_no_message_out_of_a_bundle(wild):
    agent = wild.agent()
    agent.features = SINGLES
    kind = f"unagreed.{secrets.token_hex(4)}"
    with agent.talk() as talk, Audited(wild, "message", "E_DECODE"):
        talk.socket.send(body_of(talk, join([event(talk, 1, 1, kind), event(talk, 2, 2, kind)])))
        assert talk.events(Refused).message.code == "E_DECODE"
        talk.session.channel.sent = 1
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    assert wild.events(kind) == []
