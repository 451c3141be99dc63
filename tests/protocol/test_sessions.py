import pytest

from protocol.agent_session import Commanded, Established, NewKeyset, refusal
from protocol.channel import ContentFault, Received
from protocol.command import open_command, seal_command, unseal_trusted
from protocol.errors import Code, ProtocolError
from protocol.messages.commands import AgentDrain, AgentStatus
from protocol.messages.control import CommandFrame, Heartbeat, KeysetFrame
from protocol.messages.reports import CommandAccepted, Event
from tests.fakes.trust import AGENT, NOW_MS, document, key, keyset, pair

ID = b"c" * 16


def command(name="command", agent=AGENT, message=None, ttl_ms=60_000):
    return seal_command(key(name), agent, ID, NOW_MS, ttl_ms, message or AgentStatus())


def test_a_session_carries_messages_both_ways():
    both = pair().shake()
    (found,) = both.master.receive(both.from_agent(CommandAccepted(command_id="0" * 32), offset=7))
    assert (found.offset, found.seq, found.message.command_id) == (7, 1, "0" * 32)
    (event,) = both.agent.receive(both.from_master(Heartbeat(at_ms=1), ack=7), NOW_MS)
    assert isinstance(event, Received)
    assert event.message == Heartbeat(at_ms=1)
    assert both.agent.channel.peer_ack == 7


def test_the_challenge_says_where_to_go_on():
    both = pair()
    both.hello = both.agent.hello(b"a" * 32, NOW_MS)
    both = pair().shake()
    assert both.agent.skew_ms == 0


def test_a_command_comes_out_verified_and_typed():
    both = pair().shake()
    frame = both.from_master(CommandFrame(envelope=command(message=AgentDrain(enabled=True))), offset=3)
    (event,) = both.agent.receive(frame, NOW_MS)
    assert isinstance(event, Commanded)
    assert event.signed.command == AgentDrain(enabled=True)
    assert event.signed.command_id == ID.hex()
    assert event.offset == 3
    assert not event.signed.expired(NOW_MS + 60_000)
    assert event.signed.expired(NOW_MS + 60_001)
    assert unseal_trusted(ID.hex(), event.signed.envelope) == event.signed


def test_a_command_that_cannot_be_read_is_refused_and_the_session_lives():
    both = pair().shake()
    frame = both.from_master(CommandFrame(envelope=seal_command_of("exec")), offset=1)
    (event,) = both.agent.receive(frame, NOW_MS)
    assert isinstance(event, ContentFault)
    assert refusal(event).code == Code.UNKNOWN_OP
    (alive,) = both.agent.receive(both.from_master(Heartbeat(at_ms=2)), NOW_MS)
    assert isinstance(alive, Received)


def seal_command_of(word):
    from protocol.codec import encode
    from protocol.envelope import seal
    from protocol.keys import Purpose, digest

    return seal(key("command"), Purpose.COMMAND, digest(AGENT.encode()), encode([word, ID, NOW_MS, 1_000, {}]))


def test_a_newer_keyset_comes_with_the_challenge():
    both = pair(master_version=2)
    both.hello = both.agent.hello(b"a" * 32, NOW_MS)
    both.shake()
    events = pair_events(both)
    assert isinstance(events[0], NewKeyset)
    assert events[0].keyset.version == 2


def pair_events(both):
    fresh = pair(master_version=2)
    fresh.hello = fresh.agent.hello(b"a" * 32, NOW_MS)
    from protocol.master_session import KnownAgent

    known = KnownAgent(AGENT, (key("agent").public,), 41)
    challenge = fresh.master.answer(
        fresh.master.greet(fresh.hello), known, nonce=b"m" * 32, session_id=b"s" * 16, now_ms=NOW_MS
    )
    events = fresh.agent.receive(challenge, NOW_MS)
    assert isinstance(events[-1], Established)
    assert events[-1].received_offset == 41
    return events


def test_a_newer_keyset_in_the_session_is_taken_and_an_older_one_ends_it():
    both = pair(agent_keyset=keyset(2)).shake()
    events = both.agent.receive(both.from_master(KeysetFrame(document=document(3))), NOW_MS)
    assert events[0].keyset.version == 3
    with pytest.raises(ProtocolError) as caught:
        both.agent.receive(both.from_master(KeysetFrame(document=document(1))), NOW_MS)
    assert caught.value.code is Code.KEYSET


def test_a_command_for_another_agent_does_not_open():
    with pytest.raises(ProtocolError) as caught:
        open_command(command(agent="other"), AGENT, {key("command").kid: key("command").public})
    assert caught.value.code is Code.SIGNATURE


@pytest.mark.parametrize("ttl_ms", [0, -1, 24 * 3_600_000 + 1])
def test_a_time_to_live_has_bounds(ttl_ms):
    with pytest.raises(ProtocolError):
        command(ttl_ms=ttl_ms)


def test_an_event_keeps_its_figures():
    both = pair().shake()
    event = Event(
        event_id="0" * 32, at_ms=1, kind="k", severity="info", subject="s", text="t", fields={"a": 1, "b": None}
    )
    (found,) = both.master.receive(both.from_agent(event, offset=1))
    assert found.message == event
