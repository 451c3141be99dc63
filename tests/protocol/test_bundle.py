"""Several messages under one signature: the form, the order, and that each message is judged by itself."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agent_session import Commanded
from protocol.bundle import MARK_BYTES, fitting, is_bundle, join, split
from protocol.channel import ContentFault, Received
from protocol.codec import encode
from protocol.command import seal_command
from protocol.envelope import cut, seal
from protocol.errors import Code, ProtocolError
from protocol.flow import GRANT_AT, WINDOW_BYTES, Granting, Lane, Spending
from protocol.handshake import FEATURES, seal_step
from protocol.keys import Purpose, digest
from protocol.limits import BODY_MAX_BYTES, BUNDLE_FULL_BYTES, BUNDLE_MAX_MESSAGES
from protocol.messages.commands import AgentStatus
from protocol.messages.control import Challenge, CommandFrame, Heartbeat, KeysetFrame
from protocol.messages.reports import CommandAccepted, LogLines
from tests.fakes.trust import AGENT, NOW_MS, document, key, pair

BEAT = Heartbeat(at_ms=1)
SINGLES = ("bulk", "credit")


@pytest.fixture
def both():
    return pair().shake()


def chunk(number=1, chars=100):
    lines = ("x" * 4_000,) * (chars // 4_000) + ("x" * (chars % 4_000),)
    return LogLines(stream="0" * 32, sequence=number, engine="e", lines=lines)


def put(channel, message, **changes):
    return channel.put(message, **({"at_ms": NOW_MS, "message_id": b"i" * 16, "ack": 0} | changes))


def frames(channel):
    return list(iter(channel.frame, None))


def signed(both, body):
    """A frame of a known agent, whatever is in it."""
    return seal(key("agent"), Purpose.TO_MASTER, both.agent.channel.bind, body)


def beat(seq, session_id=b"s" * 16, **changes):
    parts = {"word": "heartbeat", "sid": session_id, "seq": seq, "ack": 0, "offset": None}
    parts |= {"at": NOW_MS, "mid": b"i" * 16, "reply": None, "payload": {"at_ms": seq}}
    return encode(list((parts | changes).values()))


def refused(code, call, *arguments):
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    assert caught.value.code is code, caught.value
    return caught.value


# -- the form ------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=900).filter(lambda body: body[0] != 0xC5), min_size=2, max_size=64))
def test_what_was_joined_comes_apart_again(messages):
    body = join(messages)
    assert is_bundle(body)
    assert split(body) == messages
    assert len(body) == sum(MARK_BYTES + len(message) for message in messages)


ONE = join([b"\x99a"])
BROKEN = {
    "a length that lies by one more": ONE + b"\xc5\x00\x03\x99b",
    "a length that lies by one less": ONE + b"\xc5\x00\x01\x99b",
    "the first length takes the second along and more": b"\xc5\xff\xff\x99a" + ONE,
    "one message": ONE,
    "no message": b"\xc5",
    "a mark without a length": ONE + b"\xc5\x00",
    "a length without a message": ONE + b"\xc5\x00\x02",
    "an empty message": ONE + b"\xc5\x00\x00",
    "an empty message between": b"\xc5\x00\x00" + ONE + ONE,
    "something behind": ONE + ONE + b"\x00",
    "another mark": ONE + b"\xc6\x00\x02\x99b",
    "a message without a mark": ONE + b"\x99b",
    "a bundle inside": ONE + join([ONE + ONE]),
    "one too many": ONE * (BUNDLE_MAX_MESSAGES + 1),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_form_that_is_not_exactly_this_ends_the_session(both, body):
    error = refused(Code.FRAME, both.master.receive, signed(both, body))
    assert error.close_code == 4400
    assert both.master.channel.received == 0


def test_as_many_as_may_be_are_taken():
    both = pair().shake()
    body = join([beat(seq) for seq in range(1, BUNDLE_MAX_MESSAGES + 1)])
    assert len(both.master.receive(signed(both, body))) == BUNDLE_MAX_MESSAGES


@given(st.binary(max_size=400))
def test_splitting_strange_bytes_gives_them_back_or_a_declared_error(body):
    try:
        messages = split(body)
    except ProtocolError as refusal:
        code = refusal.code
    else:
        code = None
        assert join(messages) == body
    assert code in {None, Code.FRAME}


@given(st.lists(st.integers(1, 3 * BUNDLE_FULL_BYTES), min_size=1, max_size=200))
def test_frames_take_all_in_order_and_none_too_much(sizes):
    left = [b"x" * size for size in sizes]
    while left:
        count = fitting(left)
        taken, left = left[:count], left[count:]
        assert 1 <= count <= BUNDLE_MAX_MESSAGES
        assert count == 1 or len(join(taken)) <= BUNDLE_FULL_BYTES
        if left and count < BUNDLE_MAX_MESSAGES:
            assert len(join([*taken, left[0]])) > BUNDLE_FULL_BYTES, "one more had its place"


# -- each message by itself ------------------------------------------------------------------------------------

GOOD = st.sampled_from(
    [
        ("heartbeat", None, {"at_ms": 7}),
        ("command.accepted", 1, {"command_id": "0" * 32}),
        ("log.lines", None, {"stream": "0" * 32, "sequence": 1, "engine": "e", "lines": ["x" * 900]}),
    ]
)
BAD = st.sampled_from(
    [("exec", 3, {}), ("heartbeat", None, {"at_ms": True}), ("heartbeat", None, {"at_ms": 1, "more": 1}), None]
)


@given(st.lists(st.one_of(GOOD, BAD), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_any_split_into_bundles_gives_what_single_frames_give(content, rng):
    bodies = [
        b"\x99\x01" if part is None else beat(seq, word=part[0], offset=part[1], payload=part[2])
        for seq, part in enumerate(content, start=1)
    ]
    alone, together = pair().shake(), pair().shake()
    wanted = [found for body in bodies for found in alone.master.receive(signed(alone, body))]
    found = []
    while bodies:
        count = rng.randint(1, len(bodies))
        part, bodies = bodies[:count], bodies[count:]
        found += together.master.receive(signed(together, part[0] if count == 1 else join(part)))
    assert found == wanted
    assert len(found) == len(content)
    assert together.master.channel.received == alone.master.channel.received


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_what_is_put_comes_out_whatever_is_sent_when(sizes, rng):
    """Both directions of one rule: messages come in the order of `put`, and count what they would count alone."""
    together, alone = pair().shake(), pair(features=SINGLES).shake()
    found, counted, wanted, lengths = [], [], [], []
    for number, chars in enumerate(sizes, start=1):
        counted.append(put(together.agent.channel, chunk(number, chars)))
        single = alone.from_agent(chunk(number, chars))
        lengths.append(len(single))
        wanted += alone.master.receive(single)
        if rng.random() < 0.3:
            found += [one for frame in frames(together.agent.channel) for one in together.master.receive(frame)]
    found += [one for frame in frames(together.agent.channel) for one in together.master.receive(frame)]
    assert found == wanted
    assert counted == lengths == [one.size_bytes for one in found]


def test_a_bad_message_is_bad_alone_and_its_neighbours_are_delivered(both):
    body = join([beat(1), beat(2, word="exec", offset=9), b"\x99\xff", beat(4, payload={"at_ms": "x"}), beat(5)])
    first, unknown, unread, wrong, last = both.master.receive(signed(both, body))
    assert (first.message.at_ms, first.seq, last.message.at_ms, last.seq) == (1, 1, 5, 5)
    codes = [(fault.error.code, fault.offset) for fault in (unknown, unread, wrong)]
    assert codes == [(Code.UNKNOWN_OP, 9), (Code.DECODE, None), (Code.SCHEMA, None)]
    (alive,) = both.master.receive(signed(both, beat(6)))
    assert isinstance(alive, Received)


def test_a_bad_command_is_bad_alone(both):
    good = seal_command(key("command"), AGENT, b"c" * 16, NOW_MS, 60_000, AgentStatus())
    unread = seal(
        key("command"), Purpose.COMMAND, digest(AGENT.encode()), encode(["exec", b"c" * 16, NOW_MS, 1_000, {}])
    )
    commands = [(CommandFrame(envelope=one), {"offset": at}) for at, one in enumerate((good, unread, good), start=1)]
    first, fault, beat_, last = both.agent.receive(both.together("master", *commands[:2], BEAT, commands[2]), NOW_MS)
    assert [type(one) for one in (first, fault, beat_, last)] == [Commanded, ContentFault, Received, Commanded]
    assert (first.offset, fault.offset, last.offset) == (1, 2, 3)
    assert fault.error.code is Code.UNKNOWN_OP


# -- order ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([2, 1], Code.SEQUENCE), ([1, 1], Code.SEQUENCE), ([1, 3], Code.SEQUENCE), ([2, 3], Code.SEQUENCE)],
    ids=["reordered", "repeated", "one left out", "begun too late"],
)
def test_a_fault_of_order_takes_its_whole_frame_with_it(both, numbers, code):
    """Nothing before the fault is delivered: the peer numbers wrongly, and what is durable comes again."""
    error = refused(code, both.master.receive, signed(both, join([beat(seq) for seq in numbers])))
    assert error.close_code == 4409


def test_a_message_of_another_session_ends_this_one(both):
    body = join([beat(1), beat(2, session_id=b"x" * 16)])
    assert refused(Code.SESSION, both.master.receive, signed(both, body)).close_code == 4409


def test_a_stolen_link_key_commands_nothing_in_a_bundle(both):
    stolen = seal_command(key("link"), AGENT, b"c" * 16, NOW_MS, 1_000, AgentStatus())
    good = seal_command(key("command"), AGENT, b"d" * 16, NOW_MS, 60_000, AgentStatus())
    frame = both.together("master", (CommandFrame(envelope=good), {"offset": 1}), CommandFrame(envelope=stolen))
    assert refused(Code.ROLE, both.agent.receive, frame, NOW_MS).close_code == 4401


def test_a_frame_with_a_bundle_comes_once_and_in_its_own_session(both):
    other = pair().shake(session=b"o" * 16)
    frame = both.together("agent", BEAT, BEAT)
    refused(Code.SIGNATURE, other.master.receive, frame)
    refused(Code.KEY_ID, both.agent.receive, frame, NOW_MS)
    assert len(both.master.receive(frame)) == 2
    assert refused(Code.SEQUENCE, both.master.receive, frame).close_code == 4409


def test_every_message_of_a_bundle_acknowledges(both):
    both.from_master(CommandFrame(envelope=b"x" * 90), offset=5)
    both.master.receive(both.together("agent", (BEAT, {"ack": 2}), (BEAT, {"ack": 5}), (BEAT, {"ack": 4})))
    assert both.master.channel.peer_ack == 5


def test_a_keyset_in_a_bundle_is_known_to_the_command_behind_it(both):
    command = seal_command(key("command"), AGENT, b"c" * 16, NOW_MS, 60_000, AgentStatus())
    frame = both.together("master", KeysetFrame(document=document(2)), CommandFrame(envelope=command))
    newer, _, commanded = both.agent.receive(frame, NOW_MS)
    assert newer.keyset.version == 2
    assert isinstance(commanded, Commanded)


# -- what is not agreed on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [(), SINGLES])
def test_a_peer_that_did_not_agree_gets_single_frames(features):
    both = pair(features=features).shake()
    for number in range(1, 6):
        put(both.agent.channel, chunk(number))
        put(both.master.channel, BEAT)
    sent, answered = frames(both.agent.channel), frames(both.master.channel)
    assert [len(both.master.receive(frame)) for frame in sent] == [1] * 5
    assert [len(both.agent.receive(frame, NOW_MS)) for frame in answered] == [1] * 5


def test_a_bundle_that_was_not_agreed_on_is_no_message():
    both = pair(features=SINGLES).shake()
    (fault,) = both.master.receive(signed(both, join([beat(1), beat(2)])))
    assert isinstance(fault, ContentFault)
    assert fault.error.code is Code.DECODE


def test_a_master_that_claims_what_was_not_offered_gets_no_bundle():
    both = pair(features=SINGLES)
    hello = both.agent.hello(b"a" * 32, NOW_MS)
    claims = Challenge(
        version=1, nonce=b"m" * 32, at_ms=NOW_MS, session_id=b"s" * 16, features=FEATURES, received_offset=0
    )
    both.agent.receive(seal_step(key("link"), Purpose.CHALLENGE, digest(hello), claims), NOW_MS)
    put(both.agent.channel, BEAT)
    put(both.agent.channel, BEAT)
    assert len(frames(both.agent.channel)) == 2


# -- the channel ------------------------------------------------------------------------------------------------


def test_a_channel_says_when_a_frame_is_full(both):
    channel = both.agent.channel
    assert channel.room
    for _ in range(BUNDLE_MAX_MESSAGES):
        assert channel.room
        put(channel, BEAT)
    assert not channel.room
    assert [len(both.master.receive(frame)) for frame in frames(channel)] == [BUNDLE_MAX_MESSAGES]
    assert channel.room
    put(channel, BEAT)
    put(channel, chunk(1, BUNDLE_FULL_BYTES))
    assert not channel.room
    put(channel, BEAT)
    put(channel, BEAT)
    assert [len(both.master.receive(frame)) for frame in frames(channel)] == [1, 1, 2], "a large message goes alone"
    assert channel.room


def test_one_message_is_a_frame_of_its_own_as_ever(both):
    put(both.agent.channel, BEAT)
    (frame,) = frames(both.agent.channel)
    assert cut(frame).body == beat(1, payload={"at_ms": 1})
    assert not is_bundle(cut(frame).body)


def test_a_message_that_is_too_long_is_refused_before_it_has_a_number(both):
    put(both.agent.channel, BEAT)
    refused(Code.TOO_LARGE, put, both.agent.channel, chunk(1, BODY_MAX_BYTES))
    put(both.agent.channel, BEAT)
    (frame,) = frames(both.agent.channel)
    assert [found.seq for found in both.master.receive(frame)] == [1, 2]


def test_chunks_go_together_on_the_second_socket_and_over_the_next_one(both):
    ours, theirs = both.agent.channel.bulk(), both.master.channel.bulk()
    for number in (1, 2, 3):
        put(ours, chunk(number))
    (frame,) = frames(ours)
    assert [found.message.sequence for found in theirs.open(frame)] == [1, 2, 3]
    for number in (4, 5):
        put(ours, chunk(number))
    frames(ours)  # lost with its socket
    theirs.goes_on()
    for number in (6, 7):
        put(ours, chunk(number))
    (frame,) = frames(ours)
    assert [found.message.sequence for found in theirs.open(frame)] == [6, 7]
    refused(Code.SEQUENCE, theirs.open, frame)


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=80))
def test_credit_comes_out_even_whatever_travels_together(sizes):
    both = pair().shake()
    flow, granting, sent, back = Spending(credited=True), Granting(), 0, 0
    for number, chars in enumerate(sizes, start=1):
        assert flow.may(Lane.BULK)
        size = put(both.agent.channel, chunk(number, chars))
        flow.spend(Lane.BULK, size, None)
        sent += size
        if both.agent.channel.room and random.Random(number).random() < 0.7:
            continue
        for frame in frames(both.agent.channel):
            for found in both.master.receive(frame):
                due = granting.consumed(Lane.BULK, found.size_bytes)
                back += due
                flow.granted(Lane.BULK, due)
    assert back <= sent
    assert sent - back < WINDOW_BYTES[Lane.BULK] // GRANT_AT + BUNDLE_FULL_BYTES + 10_000


def test_what_came_before_is_told_with_its_own_ids(both):
    frame = both.together("agent", *((CommandAccepted(command_id="0" * 32), {"offset": at}) for at in (1, 2, 3)))
    assert [(found.offset, found.seq) for found in both.master.receive(frame)] == [(1, 1), (2, 2), (3, 3)]
