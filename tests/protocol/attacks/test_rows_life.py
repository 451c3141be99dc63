"""Keys that change, certificates that change, peers that fall silent: rows that take more than one session."""

import os
import signal
import ssl

import pytest

from actors.link.identity import IdentityFiles
from actors.link.messages import Got, SessionDown, SessionUp
from actors.master.keys import load_keys
from protocol.agent_session import Commanded, NewKeyset
from protocol.command import seal_command
from protocol.envelope import cut
from protocol.keys import KeyPair
from protocol.messages.commands import AgentStatus
from protocol.messages.control import CommandFrame, Heartbeat, Rotate, Rotated
from protocol.rotation import check_rotate, make_rotate
from tests.bed.processes import wait_until
from tests.fakes.audited import Audited
from tests.fakes.raw_agent import Door, closed
from tests.fakes.trust import AGENT, NOW_MS, key
from tests.protocol.attacks.conftest import Wild

pytestmark = pytest.mark.timeout(120)
COMMAND = "0" * 31 + "1"


# -- 62: rotation ----------------------------------------------------------------------------------------------


def alive(agent):
    """A whole session with this key."""
    with agent.talk() as talk:
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)


def rotated(agent, new, *, answered=True):
    """The master learns the next key; with `answered` the agent hears of it."""
    with agent.talk() as talk:
        talk.send(make_rotate(agent.key, new, talk.session.channel.bind))
        if answered:
            assert talk.events(Rotated).message.kid == new.kid
        else:
            talk.send(Heartbeat(at_ms=1))
            talk.events(Heartbeat)


@pytest.mark.parametrize("crash", ["before the master knew", "before the answer", "before the swap", "after the swap"])
def test_a062_rotate_crash_points_leave_a_key_that_opens(wild, tmp_path, crash):
    """A kill at each step: what is on the agent's disk then always holds a key that the master takes."""
    agent = wild.agent()
    files = IdentityFiles(tmp_path)
    (tmp_path / "agent.key").write_bytes(agent.key.seed)
    new = files.begin_rotation(COMMAND)
    label = files.label()
    if crash != "before the master knew":
        rotated(agent, new, answered=crash != "before the answer")
    if crash == "after the swap":
        assert files.finish_rotation(new.kid)
    after = IdentityFiles(tmp_path)
    keys = [candidate for candidate in (after.next_key(), after.key()) if candidate is not None]
    opened = []
    for candidate in keys:
        agent.key = candidate
        try:
            alive(agent)
            opened.append(candidate.kid)
            break
        except Exception:
            continue
    assert opened, "no key opens"
    if crash != "before the master knew":
        assert opened == [new.kid]
    assert after.label() == label
    again = after.begin_rotation(COMMAND)
    assert again is None if crash == "after the swap" else again.kid == new.kid


def test_the_old_key_opens_for_a_while_and_another_rotation_follows(wild):
    agent = wild.agent()
    old, new = agent.key, KeyPair.from_seed(os.urandom(32))
    rotated(agent, new)
    agent.key = new
    alive(agent)
    shown = wild.ask("GET", f"/v1/agents/{agent.agent_id}")
    assert (shown["kid"], shown["next_kid"]) == (new.kid.hex(), None)
    agent.key = old
    alive(agent)
    agent.key = new
    rotated(agent, KeyPair.from_seed(os.urandom(32)))


@pytest.mark.parametrize("lie", ["another session", "a key whose secret is not there", "the same key"])
def test_a_rotation_that_does_not_hold_ends_the_session(wild, lie):
    agent = wild.agent()
    new = KeyPair.from_seed(os.urandom(32))
    with agent.talk() as talk:
        bind = bytes(32) if lie == "another session" else talk.session.channel.bind
        message = make_rotate(agent.key, agent.key if lie == "the same key" else new, bind)
        if lie == "a key whose secret is not there":
            message = message.model_copy(update={"public": KeyPair.from_seed(os.urandom(32)).public})
        code = "E_KID" if lie == "the same key" else "E_SIG"
        with Audited(wild, "link", code):
            talk.socket.send(talk.message(message))
            assert talk.closed() == (4401, code)
    assert wild.ask("GET", f"/v1/agents/{agent.agent_id}")["next_kid"] is None


def test_a062_an_agent_that_died_before_the_swap_comes_with_its_next_key_and_swaps(attack, tmp_path):
    """The master knows the next key already: the loop offers it first, and tells that it was taken."""
    master, agent = attack()
    talk = master.conversation()
    agent.told.wait(SessionUp)
    agent.loop.rotate(key("next"))
    rotate = talk.received(Rotate).message
    assert check_rotate(rotate, key("agent").public, talk.bind) == key("next").public


# -- 86, 89: floods and silence --------------------------------------------------------------------------------


def test_a086_master_flood_every_command_arrives_once_and_heartbeats_go_on(attack):
    master, agent = attack(heartbeat_s=0.2, peer_dead_s=5.0)
    talk = master.conversation()
    agent.told.wait(SessionUp)
    for number in range(1, 2_001):
        envelope = seal_command(key("command"), AGENT, number.to_bytes(16, "big"), NOW_MS, 60_000, AgentStatus())
        talk.send(talk.message(CommandFrame(envelope=envelope), offset=number))
        if number % 500 == 0:
            talk.received(Heartbeat)
    wait_until(lambda: len(agent.told.of(Got)) == 2_000, timeout_s=60, what="every command arrived")
    offsets = [got.commanded.offset for got in agent.told.of(Got)]
    assert offsets == list(range(1, 2_001))


def test_a089_half_open_a_silent_master_is_left_whatever_the_agent_sends(attack):
    master, agent = attack(heartbeat_s=0.2, peer_dead_s=1.0)
    master.conversation()
    down = agent.told.wait(SessionDown, lambda found: "nothing was heard" in found.why, timeout_s=30)
    assert down.state == "waiting"
    assert master.conversation(), "and it comes again"


# -- 54: mutual TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mutual():
    made = Wild()
    made.world.serve_options = ("--client-ca", made.world.master_dir / "ca.pem")
    made.start()
    yield made
    made.close()


def certificate_for(wild, name):
    out = wild.folder / "certificates"
    found = wild.world.operator("cert", "agent", name, "--out", out)
    return found["certificate"], found["key"]


def test_a054_mtls_san_mismatch(mutual):
    ca_file, port = mutual.world.master_dir / "ca.pem", mutual.world.port
    anybody = Door(port, ca_file, certificate_for(mutual, "0" * 32))
    status, agent = anybody.enrol(mutual.token())
    assert status == 200
    agent.door = Door(port, ca_file, certificate_for(mutual, agent.agent_id))
    alive(agent)
    agent.door = anybody
    with agent.socket() as socket_, Audited(mutual, "link", "E_TOKEN"):
        socket_.send(agent.hello()[1])
        assert closed(socket_) == (4403, "E_TOKEN")


def test_without_a_client_certificate_nobody_comes_in(mutual):
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        mutual.door.post("/v1/enrol", b"x")


def test_a_new_certificate_is_shown_to_who_comes_next_and_no_session_ends(wild):
    agent = wild.agent()

    def shown():
        with agent.socket() as socket_:
            return socket_.socket.getpeercert(binary_form=True)

    before = shown()
    with agent.talk() as talk:
        directory = wild.world.master_dir
        wild.world.operator_live("cert", "server", "--host", "127.0.0.1")
        wild.world.master.signal(signal.SIGHUP)
        wait_until(lambda: shown() != before, timeout_s=20, what="the new certificate is shown")
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
        assert load_keys(directory).keyset.version >= 1


# -- the keyset of a running master ----------------------------------------------------------------------------


def test_a_published_keyset_reaches_a_session_before_what_needs_it_and_a_revoked_key_sends_nothing(wild):
    agent, away = wild.agent(), wild.agent()
    body = {"word": "agent.status", "payload": {}, "ttl_ms": 600_000}
    old = load_keys(wild.world.master_dir).command.kid
    queued = wild.ask("POST", f"/v1/agents/{away.agent_id}/commands", body)["command_id"]
    root = wild.world.master_dir / "root.key"
    with agent.talk() as talk:
        found = wild.world.operator("keyset", "revoke", old.hex(), "--root", root)
        assert found["running_master"] == {"version": found["version"]}
        assert talk.events(NewKeyset).keyset.version == found["version"]
        wild.ask("POST", f"/v1/agents/{agent.agent_id}/commands", body)
        assert cut(talk.events(Commanded).signed.envelope).kid == load_keys(wild.world.master_dir).command.kid != old
    with Audited(wild, "command", "E_RETIRED"):
        alive(away)
    row = wild.ask("GET", f"/v1/commands/{queued}")
    assert (row["state"], row["result"]["error"]["code"]) == ("refused", "E_RETIRED")
    assert "master.keyset_expires" not in str(wild.events("master.keyset_expires"))
