"""A real master and what it says at once: answers to one frame, and commands that wait, leave together."""

import pytest

from protocol.agent_session import Commanded
from protocol.channel import Received
from protocol.handshake import FEATURES
from protocol.messages.control import Heartbeat
from protocol.messages.reports import LogLines, Report
from tests.fakes.raw_agent import WAIT_S, now_ms
from tests.protocol.attacks.conftest import Wild

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SINGLES = tuple(feature for feature in FEATURES if feature != "bundle")


@pytest.fixture(scope="module")
def wild():
    made = Wild().start()
    yield made
    made.close()


def together(talk, *messages):
    """One frame with all of them."""
    channel = talk.session.channel
    for message in messages:
        channel.put(message, at_ms=now_ms(), message_id=b"i" * 16, ack=0)
    frame = channel.frame()
    assert channel.room
    return frame


def frame_of(talk):
    """What the next frame of the master holds."""
    return talk.session.receive(talk.socket.recv(WAIT_S), talk.agent.now_ms())


def test_answers_to_one_frame_leave_together(wild):
    with wild.agent().talk() as talk:
        talk.socket.send(together(talk, *(Heartbeat(at_ms=number) for number in range(1, 6))))
        answers = frame_of(talk)
        assert [type(answer.message) for answer in answers] == [Heartbeat] * 5
        assert [answer.seq for answer in answers] == [1, 2, 3, 4, 5]


def test_an_answer_does_not_wait_for_what_goes_to_the_disk_behind_it(wild):
    agent = wild.agent()
    with agent.talk() as talk:
        reports = [Report(at_ms=now_ms(), full=True, values={"n": number}) for number in range(20)]
        talk.socket.send(together(talk, Heartbeat(at_ms=1), *reports, Heartbeat(at_ms=2)))
        assert len(frame_of(talk)) == 1
        assert len(frame_of(talk)) == 1
    assert wild.ask("GET", f"/v1/agents/{agent.agent_id}")["report"] == {"n": 19}


@pytest.mark.parametrize(("features", "frames"), [(FEATURES, 1), (SINGLES, 5)], ids=["agreed", "not agreed"])
def test_commands_that_wait_leave_together(wild, features, frames):
    agent = wild.agent()
    agent.features = features
    body = {"word": "agent.drain", "payload": {"enabled": True}, "ttl_ms": 60_000}
    rows = [wild.ask("POST", f"/v1/agents/{agent.agent_id}/commands", body) for _ in range(5)]
    with agent.talk() as talk:
        came = [frame_of(talk) for _ in range(frames)]
        commands = [event for frame in came for event in frame]
        assert all(isinstance(event, Commanded) for event in commands)
        assert [event.signed.command_id for event in commands] == [row["command_id"] for row in rows]
        assert [event.offset for event in commands] == [1, 2, 3, 4, 5]


def test_chunks_in_one_frame_are_given_their_credit_back(wild):
    chunk = LogLines(stream="0" * 32, sequence=1, engine="e", lines=("x" * 900,))
    with wild.agent().talk() as talk:
        sent = given = 0
        while not given:
            channel = talk.session.channel
            while channel.room:
                sent += channel.put(chunk, at_ms=now_ms(), message_id=b"i" * 16, ack=0)
            talk.socket.send(channel.frame())
            if sent > 32_768 + 16_384:  # a fourth of the window was consumed by now
                (credit,) = [event for event in frame_of(talk) if isinstance(event, Received)]
                given = credit.message.bytes
        assert 32_768 <= given <= sent
