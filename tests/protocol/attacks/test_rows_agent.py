"""What a lying master gets: rows of the catalogue against the agent's own link loop, over TLS, by number.

Each one: the named close code or refusal, no command taken, one line of the log, one count, and no secret in either.
"""

import pytest
from structlog.testing import capture_logs

from actors.link.messages import FrameRefused, Got, KeyTaken, SessionDown, SessionUp
from actors.link.refusals import Refusals
from protocol.codec import encode
from protocol.command import seal_command
from protocol.envelope import seal
from protocol.handshake import seal_step
from protocol.keys import Purpose, digest
from protocol.keyset import KeysetKey, sign_keyset
from protocol.messages.commands import AgentDrain, AgentStatus
from protocol.messages.control import Challenge, CommandFrame, Heartbeat, KeysetFrame, Refused
from tests.fakes.hostile_master import HostileMaster
from tests.fakes.trust import AGENT, FAR_MS, NOW_MS, body, document, key, keyset

LINK_ORDER = 2**252 + 27742317777372353535851937790883648493
SECRET = "hf_plantedsecret"


def one_line_one_count(agent, code, *, fatal):
    """The refusal was told once; its line and its count are one each; nothing was done and nothing leaked."""
    refused = agent.told.wait(FrameRefused, lambda found: found.code == code, timeout_s=20)
    assert refused.fatal is fatal
    refusals = Refusals()
    with capture_logs() as lines:
        refusals.take(refused, 0.0)
    assert len(lines) == 1
    assert lines[0]["code"] == code
    assert refusals.shown() == ((code, 1),)
    for text in (str(lines), repr(refused), repr(agent.told.messages)):
        assert SECRET not in text
        assert key("agent").seed.hex() not in text
    assert agent.did_nothing


def closes(attack, frame_of, code, word, **settings):
    """One bad frame ends the session with that code."""
    master, agent = attack(**settings)
    talk = master.conversation()
    talk.send(*frame_of(talk))
    assert talk.closed() == code
    one_line_one_count(agent, word, fatal=True)


def flipped(frame, at):
    changed = bytearray(frame)
    changed[at] ^= 1
    return bytes(changed)


def beat(talk):
    return talk.message(Heartbeat(at_ms=1))


def command(talk, signer="command", content=None, agent=AGENT, number=b"c"):
    envelope = seal_command(key(signer), agent, number * 16, NOW_MS, 60_000, content or AgentStatus())
    return talk.message(CommandFrame(envelope=envelope), offset=1)


def malleated(frame):
    return frame[:-32] + (int.from_bytes(frame[-32:], "little") + LINK_ORDER).to_bytes(32, "little")


CLOSING = {
    "a001_sig_flip_bit": (lambda talk: [flipped(beat(talk), -1)], 4401, "E_SIG"),
    "a002_sig_body_flip": (lambda talk: [flipped(beat(talk), 20)], 4401, "E_SIG"),
    "a004_sig_wrong_role_command": (lambda talk: [command(talk, "link")], 4401, "E_ROLE"),
    "a004_sig_wrong_role_frame": (lambda talk: [talk.body(talk.head(), "command")], 4401, "E_ROLE"),
    "a005_sig_unknown_kid": (lambda talk: [talk.body(talk.head(), "stranger")], 4401, "E_KID"),
    "a008_sig_malleated_s": (lambda talk: [malleated(beat(talk))], 4401, "E_SIG"),
    "a010_sig_zero": (lambda talk: [beat(talk)[:-64] + bytes(64)], 4401, "E_SIG"),
    "a012_replay_same_session": (lambda talk: [beat(talk)] * 2, 4409, "E_SEQ"),
    "a015_reorder_pair": (lambda talk: [beat(talk), beat(talk)][::-1], 4409, "E_SEQ"),
    "a016_seq_gap": (lambda talk: [talk.body(talk.head(seq=3))], 4409, "E_SEQ"),
    "a016_seq_zero": (lambda talk: [talk.body(talk.head(seq=0))], 4409, "E_SEQ"),
    "a016_seq_max": (lambda talk: [talk.body(talk.head(seq=2**63 - 1))], 4409, "E_SEQ"),
    "a017_wrong_sid": (lambda talk: [talk.body(talk.head(sid=b"x" * 16))], 4409, "E_SID"),
    "a018_cross_agent_command": (lambda talk: [command(talk, agent="02" * 16)], 4401, "E_SIG"),
    "a028_truncated_envelope": (lambda talk: [beat(talk)[:-1]], 4400, "E_FRAME"),
    "a028_empty": (lambda talk: [b""], 4400, "E_FRAME"),
    "a060_keyset_rollback": (lambda talk: [talk.message(KeysetFrame(document=document(1)))], 4401, "E_KEYSET"),
    "a060_keyset_freeze": (
        lambda talk: [talk.message(KeysetFrame(document=document(3, expires_ms=NOW_MS - 1)))],
        4401,
        "E_KEYSET",
    ),
    "a060_keyset_under_threshold": (
        lambda talk: [talk.message(KeysetFrame(document=sign_keyset(body(3), [key("evil")])))],
        4401,
        "E_KEYSET",
    ),
}


@pytest.mark.parametrize("name", CLOSING)
def test_closing_rows(attack, name):
    frame_of, code, word = CLOSING[name]
    settings = {"found": keyset(2), "keyset": (2, document(2))} if name.startswith("a060") else {}
    closes(attack, frame_of, code, word, **settings)


def test_a003_sig_wrong_ctx_a_frame_of_the_agent_comes_back(attack):
    master, agent = attack()
    talk = master.conversation()
    talk.send(talk.socket.recv(10))
    assert talk.closed() == 4401
    one_line_one_count(agent, "E_KID", fatal=True)


def test_a006_sig_revoked_kid(attack):
    _, agent = attack(found=keyset(revoked=(key("link").kid,)))
    one_line_one_count(agent, "E_KID", fatal=True)
    assert not agent.told.of(SessionUp)


def test_a007_sig_expired_key(attack):
    links = KeysetKey(public=key("link").public, role="link", not_before_ms=0, not_after_ms=NOW_MS - 1)
    _, agent = attack(found=keyset(keys=(links,)))
    one_line_one_count(agent, "E_KID", fatal=True)
    assert not agent.told.of(SessionUp)


def test_a013_replay_of_an_older_session(attack):
    master, agent = attack()
    first = master.conversation()
    recorded = beat(first)
    first.socket.close()
    second = master.conversation()
    second.send(recorded)
    assert second.closed() == 4401
    one_line_one_count(agent, "E_SIG", fatal=True)


def test_a014_replay_of_a_handshake(attack):
    recorded = []

    def replaying(socket, session):
        if not recorded:
            HostileMaster._handshake(attacker[0], Recording(socket, recorded), session)
            return
        socket.recv(10)
        socket.send(recorded[0])
        socket.recv(10)

    attacker = []
    master, agent = attack(handshake=replaying, attacker=attacker)
    master.conversation().socket.close()
    one_line_one_count(agent, "E_SIG", fatal=True)
    assert len(agent.told.of(SessionUp)) == 1


class Recording:
    def __init__(self, socket, kept):
        self._socket, self._kept = socket, kept

    def send(self, frame):
        self._kept.append(frame)
        self._socket.send(frame)

    def recv(self, timeout):
        return self._socket.recv(timeout)


def challenging(**changes):
    """A handshake whose challenge is signed and says what no honest master does."""

    def handshake(socket, session):
        known = {"version": 1, "nonce": b"n" * 32, "at_ms": NOW_MS, "session_id": b"s" * 16, "received_offset": 0}
        challenge = Challenge(**(known | changes))
        socket.send(seal_step(key("link"), Purpose.CHALLENGE, digest(socket.recv(10)), challenge))
        socket.recv(10)

    return handshake


def test_a025_downgrade_offer_old(attack):
    """A challenge with a version that nobody offered."""
    _, agent = attack(handshake=challenging(version=0))
    one_line_one_count(agent, "E_VERSION", fatal=True)
    assert not agent.told.of(SessionUp)


@pytest.mark.parametrize(("skew_s", "stands"), [(25, True), (200, True), (3_600, False)])
def test_a026_clock_skew(attack, skew_s, stands):
    if stands:
        _, agent = attack(now_ms=NOW_MS + skew_s * 1000)
        assert agent.told.wait(SessionUp).skew_ms == pytest.approx(skew_s * 1000, abs=60_000)
        return
    _, agent = attack(handshake=challenging(at_ms=NOW_MS + skew_s * 1000))
    one_line_one_count(agent, "E_CLOCK", fatal=True)
    assert not agent.told.of(SessionUp)


def test_a027_clock_jump_midway_moves_no_time_limit(attack):
    now = [NOW_MS / 1000]
    master, agent = attack(wall=lambda: now[0])
    talk = master.conversation()
    agent.told.wait(SessionUp)
    for jump_s in (-3_600.0, 7_200.0):
        now[0] += jump_s
        number = b"a" if jump_s < 0 else b"b"
        talk.send(command(talk, number=number))
        wanted = (number * 16).hex()
        got = agent.told.wait(Got, lambda found, wanted=wanted: found.commanded.signed.command_id == wanted)
        assert not got.commanded.signed.expired(got.at_ms)
    assert all(abs(got.at_ms - NOW_MS) < 60_000 for got in agent.told.of(Got))


def bomb(talk):
    return b"\xdf\xff\xff\xff\xff"


REFUSED = {
    "a029_truncated_msgpack": lambda talk: encode(talk.head())[:-1],
    "a030_trailing_bytes": lambda talk: encode(talk.head()) + b"\0",
    "a031_deep_nest_17": lambda talk: encode(talk.head())[:-8] + b"\x91" * 17 + b"\xc0",
    "a031_deep_nest_60000": lambda talk: b"\x91" * 60_000,
    "a032_map_bomb_header": bomb,
    "a033_array_of_nil": lambda talk: b"\xdd\x00\x00\xff\x00" + b"\xc0" * 65_280,
    "a034_dup_keys": lambda talk: encode(talk.head())[:-8] + b"\x82\xa5at_ms\x01\xa5at_ms\x02",
    "a035_ext_type": lambda talk: b"\x91\xc7\x01\x05x",
    "a035_timestamp_ext": lambda talk: b"\x91\xd6\xff\x00\x00\x00\x01",
    "a036_huge_int": lambda talk: encode(talk.head(payload={"at_ms": 2**64 - 1})),
    "a037_nan": lambda talk: encode(talk.head(payload={"at_ms": float("nan")})),
    "a037_inf": lambda talk: encode(talk.head(payload={"at_ms": float("inf")})),
    "a038_bool_as_int": lambda talk: encode(talk.head(payload={"at_ms": True})),
    "a038_str_as_int": lambda talk: encode(talk.head(payload={"at_ms": "1"})),
    "a038_float_as_int": lambda talk: encode(talk.head(payload={"at_ms": 1.0})),
    "a039_non_str_key": lambda talk: encode(talk.head())[:-8] + b"\x81\x01\x02",
    "a039_bytes_key": lambda talk: encode(talk.head())[:-8] + b"\x81\xc4\x01a\x02",
    "a040_bad_utf8": lambda talk: encode(talk.head())[:-8] + b"\x81\xa1\xff\x02",
    "a040_surrogate": lambda talk: encode(talk.head())[:-8] + b"\x81\xa3\xed\xa0\x80\x02",
    "a063_unknown_word": lambda talk: encode(talk.head(word="exec", payload={"cmd": SECRET})),
    "a064_unknown_field": lambda talk: encode(talk.head(payload={"at_ms": 1, SECRET: 1})),
    "a091_error_leak": lambda talk: encode(talk.head(payload={"at_ms": SECRET})),
}
CODES = {"E_DECODE", "E_SCHEMA", "E_UNKNOWN_OP", "E_UNKNOWN_FIELD"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_rows_and_the_session_lives(attack, name):
    master, agent = attack()
    talk = master.conversation()
    talk.send(talk.body(REFUSED[name](talk)))
    said = talk.received(Refused).message
    assert said.code in CODES
    assert SECRET not in repr(said)
    one_line_one_count(agent, said.code, fatal=False)
    talk.session.channel.sent = 1
    talk.send(command(talk, content=AgentDrain(enabled=True)))
    assert agent.told.wait(Got).commanded.signed.command == AgentDrain(enabled=True)


def inner(word="agent.drain", payload=None, signer="command"):
    raw = encode([word, b"c" * 16, NOW_MS, 1_000, {"enabled": True} if payload is None else payload])
    return seal(key(signer), Purpose.COMMAND, digest(AGENT.encode()), raw)


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (inner("exec", {"cmd": SECRET}), "E_UNKNOWN_OP"),
        (inner(payload={"enabled": True, "privileged": True}), "E_UNKNOWN_FIELD"),
        (inner(payload={"enabled": SECRET}), "E_SCHEMA"),
    ],
    ids=["a063_unknown_command", "a064_unknown_field", "a091_error_leak"],
)
def test_a_command_that_is_not_one_is_refused_by_name(attack, envelope, code):
    master, agent = attack()
    talk = master.conversation()
    talk.send(talk.message(CommandFrame(envelope=envelope), offset=1))
    said = talk.received(Refused)
    assert (said.message.code, said.message.retry, said.reply_to) == (code, "no", b"i" * 16)
    assert SECRET not in repr(said)
    one_line_one_count(agent, code, fatal=False)


@pytest.mark.parametrize("kept", [True, False], ids=["retired", "gone"])
def test_a_command_whose_key_had_its_day_is_refused_and_the_session_lives(attack, kept):
    old = KeysetKey(public=key("command").public, role="command", not_before_ms=0, not_after_ms=NOW_MS - 1)
    new = KeysetKey(public=key("command-2").public, role="command", not_before_ms=0, not_after_ms=FAR_MS)
    keys = (*(row for row in body().keys if row.role != "command"), *((old,) if kept else ()), new)
    master, agent = attack(found=keyset(keys=keys))
    talk = master.conversation()
    talk.send(command(talk))
    assert talk.received(Refused).message.code == "E_RETIRED"
    one_line_one_count(agent, "E_RETIRED", fatal=False)
    talk.send(command(talk, "command-2"))
    agent.told.wait(Got)


def test_an_expired_keyset_lets_no_command_in_and_says_so(attack):
    master, agent = attack(found=keyset(expires_ms=NOW_MS + 1))
    agent.told.wait(SessionUp)
    talk = master.conversation()
    talk.send(command(talk))
    assert talk.received(Refused).message.code == "E_KEYSET_EXPIRED"
    one_line_one_count(agent, "E_KEYSET_EXPIRED", fatal=False)


def test_a041_text_frame(attack):
    master, agent = attack()
    talk = master.conversation()
    talk.socket.send("text")
    talk.closed()
    down = agent.told.wait(SessionDown, lambda found: "text frame" in found.why)
    assert down.state == "waiting"
    assert agent.did_nothing


def test_a033_a_frame_of_a_megabyte_is_closed_by_its_header(attack):
    master, agent = attack()
    talk = master.conversation()
    talk.socket.send(b"\xc0" * (1 << 20))
    assert talk.closed() == 1009
    assert agent.did_nothing


def test_a087_an_acknowledgement_beyond_what_was_sent_is_ignored(attack):
    from actors.link.messages import PeerHas

    master, agent = attack(received_offset=7)
    up = agent.told.wait(SessionUp)
    assert (up.received_offset, up.believed_offset) == (7, 0)
    talk = master.conversation()
    talk.send(talk.message(Heartbeat(at_ms=1), ack=2**63 - 1), command(talk))
    agent.told.wait(Got)
    assert not agent.told.of(PeerHas)


def test_a062_a_key_that_the_master_learns_is_told_once(attack):
    from protocol.messages.control import Rotate, Rotated
    from protocol.rotation import check_rotate

    master, agent = attack()
    talk = master.conversation()
    agent.told.wait(SessionUp)
    agent.loop.rotate(key("next"))
    found = talk.received(Rotate).message
    assert check_rotate(found, key("agent").public, talk.bind) == key("next").public
    talk.send(talk.message(Rotated(kid=key("next").kid, overlap_ms=1)))
    assert agent.told.wait(KeyTaken).kid == key("next").kid
