"""Who comes in and as whom: rows of the catalogue against a running reference master, over TLS."""

import concurrent.futures
import json
import secrets
import time

import pytest
from websockets.exceptions import InvalidStatus

from protocol import tokens
from protocol.codec import encode
from protocol.envelope import seal
from protocol.keys import UNBOUND, KeyPair, Purpose
from protocol.messages.control import Heartbeat, Refused
from protocol.messages.reports import CommandProgress, CommandResult, Inventory
from protocol.tokens import parse_join_token
from tests.fakes.audited import SECRET, Audited
from tests.fakes.raw_agent import closed, ended, now_ms

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    "public",
    [bytes([1]) + bytes(31), b"\xff" * 32, b"\xed" + b"\xff" * 30 + b"\x7f", b"x" * 31],
    ids=["identity", "not canonical", "prime", "short"],
)
def test_a009_pub_small_order_is_refused_and_the_token_stays(wild, public):
    text = wild.token()
    token, key = parse_join_token(text), KeyPair.from_seed(secrets.token_bytes(32))
    covered = encode([token.token_id, b"n" * 32, public, Inventory(values={}).model_dump(mode="python"), now_ms()])
    tag = tokens.mac(token.mac_key, b"enrol-request", covered)
    frame = seal(key, Purpose.ENROL_REQUEST, UNBOUND, encode([covered, public, tag]))
    with Audited(wild, "enrol", "E_KID"):
        status, _ = wild.door.post("/v1/enrol", frame)
    assert status == 400
    assert wild.door.enrol(text)[0] == 200, "the token is unspent"


def test_a055_token_reuse_with_another_key_is_an_alarm(wild):
    text = wild.token()
    assert wild.door.enrol(text)[0] == 200
    before = len(wild.events("master.token_used_again"))
    with Audited(wild, "enrol", "E_TOKEN_USED"):
        status, said = wild.door.enrol(text)
    assert (status, said["code"]) == (403, "E_TOKEN_USED")
    assert len(wild.events("master.token_used_again")) == before + 1
    assert text not in wild.log


def test_a055_two_machines_at_the_same_moment_do_not_get_one_use(wild):
    text = wild.token()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = sorted(status for status, _ in pool.map(lambda _n: wild.door.enrol(text), range(4)))
    assert statuses == [200, 403, 403, 403]


def test_a056_token_retry_with_the_same_key_gives_the_same_agent(wild):
    text, key = wild.token(), KeyPair.from_seed(secrets.token_bytes(32))
    first, again = (wild.door.enrol(text, key=key)[1] for _ in range(2))
    assert first.agent_id == again.agent_id


@pytest.mark.parametrize(
    "scope", [{"hosts": "gpu-*"}, {"network": "10.0.0.0/8"}, {"ttl_s": 0.001}], ids=["host", "network", "expired"]
)
def test_a057_token_expired_or_out_of_scope(wild, scope):
    text = wild.token(**scope)
    time.sleep(0.01)  # the token's whole life
    with Audited(wild, "enrol", "E_TOKEN"):
        status, said = wild.door.enrol(text, values={"host.name": "cpu-1"})
    assert (status, said["code"]) == (403, "E_TOKEN")


def test_a057_a_token_with_a_scope_enrols_who_is_in_it(wild):
    text = wild.token(hosts="gpu-*", network="127.0.0.0/8")
    assert wild.door.enrol(text, values={"host.name": "gpu-7"})[0] == 200


def test_a_machine_that_waits_for_approval_comes_in_after_it(wild):
    status, agent = wild.door.enrol(wild.token(approve=True))
    assert status == 200
    with Audited(wild, "upgrade", "E_PENDING"), pytest.raises(InvalidStatus) as caught:
        agent.socket()
    assert caught.value.response.status_code == 503
    wild.world.operator("agent", "approve", agent.agent_id)
    with agent.talk() as talk:
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)


def test_a_recovery_token_gives_the_same_agent_a_new_key(wild):
    agent = wild.agent()
    text = wild.token(recover=agent.agent_id)
    status, again = wild.door.enrol(text)
    assert (status, again.agent_id) == (200, agent.agent_id)
    with again.talk() as talk:
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    with pytest.raises(InvalidStatus):
        agent.socket()
    assert wild.door.enrol(text)[0] == 403, "it is good for one new key"
    assert wild.events("master.agent_recovered")


def jwt_of(agent, **changes):
    now = now_ms() // 1000
    claims = {"sub": agent.agent_id, "aud": f"{agent.door.host}/v1/link", "iat": now, "exp": now + 60, "jti": "j"}
    return tokens._JWT.encode(claims | changes, agent.key, algorithm="EdDSA", headers={"typ": tokens.TYPE_ASSERTION})


def unsigned(agent):
    parts = [{"typ": tokens.TYPE_ASSERTION, "alg": "none"}, {"sub": agent.agent_id, "aud": "x", "iat": 1, "exp": 2**40}]
    return ".".join([*(tokens._b64(json.dumps(part).encode()) for part in parts), ""])


def test_a059_token_tricks_are_refused_before_there_is_a_socket(wild):
    agent, now = wild.agent(), now_ms() // 1000
    foreign = wild.agent()
    tricks = [
        "x",
        "v4.local.AAAA",
        "v3.public.AAAA",
        unsigned(agent),
        jwt_of(agent, aud="elsewhere"),
        jwt_of(agent, exp=now - 31, iat=now - 60),
        jwt_of(agent, exp=now + 3_600),
        jwt_of(agent, sub=foreign.agent_id),
        jwt_of(agent, sub=SECRET),
        foreign.enrolled.access_token[:-4] + "AAAA",
    ]
    with Audited(wild, "upgrade", "E_TOKEN", len(tricks)):
        for token in tricks:
            with pytest.raises(InvalidStatus) as caught:
                agent.socket(token=token)
            assert caught.value.response.status_code == 401, token


def test_the_access_token_opens_the_link_for_its_key_only(wild):
    agent, other = wild.agent(), wild.agent()
    with agent.talk(token=agent.enrolled.access_token) as talk:
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    with other.socket(agent.enrolled.access_token) as socket_, Audited(wild, "link", "E_TOKEN"):
        socket_.send(other.hello()[1])
        assert closed(socket_) == (4403, "E_TOKEN")


def test_a_new_access_token_needs_the_agents_own_assertion(wild):
    agent = wild.agent()
    headers = {"Authorization": f"Bearer {agent.token('/v1/token')}"}
    status, body = wild.door.post("/v1/token", b"", headers)
    assert status == 200
    token = json.loads(body)["access_token"]
    facts = tokens.token_facts(token)
    assert (facts.kid, facts.ends_s - facts.begins_s) == (agent.key.kid, 86_400)
    assert wild.door.post("/v1/keyset", None, {"Authorization": f"Bearer {token}"}, method="GET")[0] == 200
    with Audited(wild, "token", "E_TOKEN", 2):
        for bearer in (token, agent.token("/v1/link")):
            assert wild.door.post("/v1/token", b"", {"Authorization": f"Bearer {bearer}"})[0] == 401


def test_a053_another_valid_certificate_between_is_an_alarm(wild):
    agent = wild.agent()
    agent.certificate = b"z" * 32
    _, hello = agent.hello()
    with agent.socket() as socket_, Audited(wild, "link", "E_CERT"):
        socket_.send(hello)
        assert closed(socket_) == (4401, "E_CERT")
    assert [event for event in wild.events("master.certificate_differs") if event["agent_id"] == agent.agent_id]


def test_a061_clone_agent_both_are_quarantined_and_an_operator_decides(wild):
    agent = wild.agent()
    first, second = agent.instance, "the copy"
    for instance in (first, second):
        agent.instance = instance
        with agent.talk() as talk:
            talk.send(Heartbeat(at_ms=1))
            talk.events(Heartbeat)
    agent.instance = first
    with Audited(wild, "link", "E_CLONE"), agent.talk() as talk:
        ended(talk, 4403, "E_CLONE")
    assert wild.ask("GET", f"/v1/agents/{agent.agent_id}")["state"] == "quarantined"
    (alarm,) = [event for event in wild.events("master.clone") if event["agent_id"] == agent.agent_id]
    assert alarm["severity"] == "critical"
    agent.instance = second
    _, hello = agent.hello()
    with agent.socket() as socket_, Audited(wild, "link", "E_CLONE"):
        socket_.send(hello)
        assert closed(socket_) == (4403, "E_CLONE")
    wild.world.operator("agent", "approve", agent.agent_id)
    with agent.talk() as talk:
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)


def test_an_agent_that_was_restarted_is_no_clone(wild):
    agent = wild.agent()
    for number in range(12):
        agent.instance = f"process {number}"
        with agent.talk() as talk:
            talk.send(Heartbeat(at_ms=1))
            talk.events(Heartbeat)
    assert wild.ask("GET", f"/v1/agents/{agent.agent_id}")["state"] == "active"


def test_a_result_of_another_agents_command_changes_nothing(wild):
    owner, thief = wild.agent(), wild.agent()
    body = {"word": "agent.drain", "payload": {"enabled": True}, "ttl_ms": 60_000}
    row = wild.ask("POST", f"/v1/agents/{owner.agent_id}/commands", body)
    with thief.talk() as talk:
        talk.send(Refused(code="E_POLICY", retry="no", field=row["command_id"]))
        talk.send(CommandProgress(command_id=row["command_id"], stage="stolen"))
        talk.send(CommandResult(command_id=row["command_id"], state="done"), offset=1)
        talk.send(Heartbeat(at_ms=1))
        talk.events(Heartbeat)
    found = wild.ask("GET", f"/v1/commands/{row['command_id']}")
    assert (found["state"], found["progress"], found["result"]) == ("queued", None, None)
