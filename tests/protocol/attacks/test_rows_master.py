"""What a hostile agent says: rows of the catalogue against a running reference master, over TLS."""

import http.client
import json
import secrets
import time

import pytest

from protocol.codec import encode
from protocol.envelope import OVERHEAD_BYTES, seal
from protocol.keys import Purpose
from protocol.messages.control import Credit, Heartbeat, Refused
from protocol.messages.reports import Event, Report
from tests.fakes.audited import SECRET, Audited
from tests.fakes.raw_agent import closed, ended, flipped, now_ms

pytestmark = pytest.mark.timeout(120)


def body_of(talk, head, agent=None):
    raw = head if isinstance(head, bytes) else encode(head)
    return seal((agent or talk.agent).key, Purpose.TO_MASTER, talk.session.channel.bind, raw)


def head(talk, **changes):
    parts = {"word": "heartbeat", "sid": talk.session.channel.session_id, "seq": 1, "ack": 0, "offset": None}
    parts |= {"at": now_ms(), "mid": b"i" * 16, "reply": None, "payload": {"at_ms": 1}}
    return list((parts | changes).values())


def reflected(talk):
    return talk.socket.recv(10)


CLOSING = {
    "a001_sig_flip_bit": (lambda talk: [flipped(talk.message(Heartbeat(at_ms=1)), -1)], 4401, "E_SIG"),
    "a002_sig_body_flip": (lambda talk: [flipped(talk.message(Heartbeat(at_ms=1)), 20)], 4401, "E_SIG"),
    "a010_sig_zero": (lambda talk: [talk.message(Heartbeat(at_ms=1))[:-64] + bytes(64)], 4401, "E_SIG"),
    "a012_replay": (lambda talk: [talk.message(Heartbeat(at_ms=1))] * 2, 4409, "E_SEQ"),
    "a016_seq_gap": (lambda talk: [body_of(talk, head(talk, seq=2))], 4409, "E_SEQ"),
    "a017_wrong_sid": (lambda talk: [body_of(talk, head(talk, sid=b"x" * 16))], 4409, "E_SID"),
    "a028_truncated": (lambda talk: [talk.message(Heartbeat(at_ms=1))[:-1]], 4400, "E_FRAME"),
    "a028_shortest": (lambda talk: [b"\x94" * (OVERHEAD_BYTES - 1)], 4400, "E_FRAME"),
    "a041_text_frame": (lambda talk: ["text"], 4400, "E_FRAME"),
}


@pytest.mark.parametrize("name", CLOSING)
def test_closing_rows(wild, name):
    frames_of, code, word = CLOSING[name]
    with wild.agent().talk() as talk, Audited(wild, "link", word):
        for frame in frames_of(talk):
            talk.socket.send(frame)
        ended(talk, code, word)


def test_a018_cross_agent_a_frame_of_another_agent(wild):
    other = wild.agent()
    with wild.agent().talk() as talk, Audited(wild, "link", "E_KID"):
        talk.socket.send(body_of(talk, head(talk), other))
        ended(talk, 4401, "E_KID")


def test_a013_a014_recorded_frames_open_nothing(wild):
    agent = wild.agent()
    with agent.talk() as talk:
        recorded = [talk.frames[0], talk.frames[2], talk.message(Heartbeat(at_ms=1))]
    with agent.socket() as socket_, Audited(wild, "link", "E_SIG"):
        socket_.send(recorded[0])
        socket_.recv(10)
        socket_.send(recorded[1])
        assert closed(socket_) == (4401, "E_SIG")
    with agent.talk() as talk, Audited(wild, "link", "E_SIG"):
        talk.socket.send(recorded[2])
        ended(talk, 4401)


def test_a024_downgrade_strip_in_the_hello(wild):
    agent = wild.agent()
    _, hello = agent.hello()
    at = hello.index(b"versions") + len("versions")
    with agent.socket() as socket_, Audited(wild, "link", "E_SIG"):
        socket_.send(flipped(hello, at + 1))
        assert closed(socket_)[0] == 4401


@pytest.mark.parametrize(("skew_s", "code"), [(25, None), (200, None), (3_600, 4408)])
def test_a026_clock_of_the_agent(wild, skew_s, code):
    agent = wild.agent()
    agent.skew_ms = skew_s * 1000
    if code is None:
        with agent.talk() as talk:
            talk.send(Heartbeat(at_ms=1))
            talk.events(Heartbeat)
        assert ("link.skew" in wild.log) or skew_s < 30
        return
    _, hello = agent.hello()
    with agent.socket() as socket_, Audited(wild, "link", "E_CLOCK"):
        socket_.send(hello)
        assert closed(socket_) == (code, "E_CLOCK")


BAD_BODIES = {
    "a029": lambda talk: encode(head(talk))[:-1],
    "a030": lambda talk: encode(head(talk)) + b"\0",
    "a031": lambda talk: b"\x91" * 60_000,
    "a032": lambda talk: b"\xdf\xff\xff\xff\xff",
    "a034": lambda talk: encode(head(talk))[:-8] + b"\x82\xa5at_ms\x01\xa5at_ms\x02",
    "a035": lambda talk: b"\x91\xc7\x01\x05x",
    "a036": lambda talk: encode(head(talk, payload={"at_ms": 2**64 - 1})),
    "a037": lambda talk: encode(head(talk, payload={"at_ms": float("nan")})),
    "a038": lambda talk: encode(head(talk, payload={"at_ms": True})),
    "a039": lambda talk: b"\x91\x81\x01\x02",
    "a040": lambda talk: b"\x91\xa1\xff",
    "a063": lambda talk: encode(head(talk, word="exec")),
    "a064": lambda talk: encode(head(talk, payload={"at_ms": 1, SECRET: 1})),
    "a091": lambda talk: encode(head(talk, payload={"at_ms": SECRET})),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_refused_rows_and_the_session_lives(wild, name):
    with wild.agent().talk() as talk:
        talk.socket.send(body_of(talk, BAD_BODIES[name](talk)))
        said = talk.events(Refused).message
        assert said.code in {"E_DECODE", "E_SCHEMA", "E_UNKNOWN_OP", "E_UNKNOWN_FIELD"}
        assert SECRET not in repr(said)
        talk.session.channel.sent = 1
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    assert SECRET not in wild.log


def test_content_faults_without_end_close_the_session(wild):
    with wild.agent().talk() as talk:
        for number in range(1, 6):
            talk.socket.send(body_of(talk, head(talk, seq=number, word="exec")))
        ended(talk, 4422)


def test_a036_huge_int_through_the_operators_door(wild):
    from actors.master.client import OperatorError

    agent = wild.agent()
    payload = {"name": "e", "generation": 2**70}
    with pytest.raises(OperatorError, match=r"engine\.stop\.generation"):
        wild.ask("POST", f"/v1/agents/{agent.agent_id}/commands", {"word": "engine.stop", "payload": payload})


def test_a082_metrics_of_an_agent_replace_each_other(wild):
    agent = wild.agent()
    with agent.talk() as talk:
        for number in range(200):
            talk.send(Report(at_ms=now_ms(), full=number == 0, values={"n": number}))
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    assert wild.ask("GET", f"/v1/agents/{agent.agent_id}")["report"] == {"n": 199}


def test_a087_ack_lies_of_an_agent_are_ignored(wild):
    agent = wild.agent()
    with agent.talk() as talk:
        talk.send(Heartbeat(at_ms=1), ack=2**63 - 1)
        talk.events(Heartbeat)
    body = {"word": "agent.drain", "payload": {"enabled": True}, "ttl_ms": 60_000}
    row = wild.ask("POST", f"/v1/agents/{agent.agent_id}/commands", body)
    assert row["state"] == "queued"


@pytest.mark.parametrize("size", [2**63 - 1, -1], ids=["too much", "negative"])
def test_a088_credit_lies_are_refused(wild, size):
    with wild.agent().talk() as talk:
        talk.socket.send(body_of(talk, head(talk, word=Credit.TYPE, payload={"channel": 3, "bytes": size})))
        assert talk.events(Refused).message.code == "E_SCHEMA"


def test_a081_what_an_agent_tells_cannot_forge_a_line(wild):
    agent = wild.agent()
    text = '\x1b[31mred\r\n{"event": "refused", "door": "forged"}'
    event = Event(event_id=secrets.token_hex(16), at_ms=1, kind="k", severity="info", subject="s", text=text)
    with agent.talk() as talk:
        talk.send(event, offset=1)
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    for line in wild.log.splitlines():
        assert json.loads(line).get("door") != "forged"


def test_slow_bodies_at_the_enrollment_door_are_bounded(wild):
    connection = http.client.HTTPSConnection("127.0.0.1", wild.world.port, context=wild.door.context, timeout=30)
    connection.putrequest("POST", "/v1/enrol")
    connection.putheader("Content-Length", "5000")
    connection.endheaders()
    connection.send(b"x")
    begun = time.monotonic()
    with Audited(wild, "enrol", "E_HS_TIMEOUT"):
        assert connection.getresponse().status == 408
    connection.close()
    assert time.monotonic() - begun < 25
