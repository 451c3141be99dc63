"""A keyset from `init` over renewals, rotations, revocations and new roots; agents follow."""

import json

import pytest
from click.testing import CliRunner

from actors.link.access import due_in_s, usable
from actors.master import keyset_commands
from actors.master.keys import DAY_MS, load_keys, make_keys
from actors.master.keyset_work import NEXT_FILE, OVERLAP_MS, Change, make_roots, prepare, publish, sign
from actors.master.main import cli
from protocol.errors import Code, ProtocolError
from protocol.keys import KeyPair
from protocol.keyset import Role, follow_roots, open_keyset
from protocol.tokens import access_token
from tests.fakes.trust import NOW_MS, key


@pytest.fixture
def folder(tmp_path):
    make_keys(tmp_path, NOW_MS, roots=3, threshold=2)
    return tmp_path


def roots(folder, *numbers):
    return [KeyPair.from_seed((folder / f"root-{number}.key").read_bytes()) for number in numbers]


def change(folder, what, *signers, now_ms=NOW_MS):
    prepare(folder, what, now_ms)
    for signer in signers:
        sign(folder / NEXT_FILE, signer)
    return publish(folder, now_ms)


def test_a_renewal_is_the_same_keys_for_longer(folder):
    before, later = load_keys(folder), NOW_MS + 300 * DAY_MS
    found = change(folder, Change(), *roots(folder, 1, 3), now_ms=later)
    assert found.version == 2
    assert load_keys(folder).days_left(later) == 365
    assert found.publics(Role.LINK, later + 364 * DAY_MS) == before.keyset.publics(Role.LINK, NOW_MS)


@pytest.mark.parametrize("signers", [(), (1,), (1, 1)], ids=str)
def test_too_few_roots_publish_nothing(folder, signers):
    with pytest.raises(ProtocolError) as caught:
        change(folder, Change(), *roots(folder, *signers))
    assert caught.value.code is Code.KEYSET
    assert load_keys(folder).keyset.version == 1


def test_a_rotated_key_takes_its_place_when_it_is_published_and_the_old_one_holds_for_a_while(folder):
    before = load_keys(folder)
    prepare(folder, Change(rotate=(Role.COMMAND,)), NOW_MS)
    assert load_keys(folder).command.kid == before.command.kid, "not before it is published"
    found = change(folder, Change(rotate=(Role.COMMAND,)), *roots(folder, 1, 2))
    after = load_keys(folder)
    assert after.command.kid != before.command.kid
    assert set(found.publics(Role.COMMAND, NOW_MS)) == {before.command.kid, after.command.kid}
    assert set(found.publics(Role.COMMAND, NOW_MS + OVERLAP_MS)) == {after.command.kid}
    assert after.link.kid == before.link.kid


def test_a_revoked_key_holds_no_more_and_its_role_has_a_new_one(folder):
    before = load_keys(folder)
    found = change(folder, Change(revoke=(before.link.kid,)), *roots(folder, 1, 2))
    after = load_keys(folder)
    assert set(found.publics(Role.LINK, NOW_MS)) == {after.link.kid} != {before.link.kid}
    with pytest.raises(ProtocolError):
        prepare(folder, Change(revoke=(b"x" * 8,)), NOW_MS)


def test_new_roots_need_both_sets_and_an_agent_that_missed_them_all_follows(folder):
    pinned, first = load_keys(folder).roots, load_keys(folder).keyset
    old = roots(folder, 1, 2)
    second = make_roots([key("r1").public, key("r2").public], 2)
    with pytest.raises(ProtocolError):
        change(folder, Change(roots=second), *old)
    change(folder, Change(roots=second), *old, key("r1"), key("r2"))
    third = make_roots([key("r3").public], 1)
    change(folder, Change(roots=third), key("r1"), key("r2"), key("r3"))
    found = change(folder, Change(), key("r3"))
    chain = tuple(document for version, document in load_keys(folder).chain if version > first.version)
    assert len(chain) == 2
    followed = follow_roots(chain, pinned, first.version)
    assert followed == third
    assert open_keyset(found.document, followed, now_ms=NOW_MS, at_least=1).version == 4
    with pytest.raises(ProtocolError):
        follow_roots(chain[1:], pinned, first.version)


def run(*words):
    if "keyset" not in cli.commands:
        keyset_commands.register(cli)
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_commands_renew_with_the_root_at_hand_and_with_the_roots_away(tmp_path):
    import time

    make_keys(tmp_path, int(time.time() * 1000))
    done = run("keyset", "renew", "--dir", tmp_path, "--root", tmp_path / "root.key", "--json")
    assert json.loads(done.stdout)["version"] == 2
    waiting = run("keyset", "rotate", "command", "--dir", tmp_path, "--json")
    assert "waits for 1 signature" in waiting.stderr
    early = run("keyset", "publish", "--dir", tmp_path)
    assert (early.exit_code, "0 of 1" in early.stderr) == (1, True)
    assert run("keyset", "sign", tmp_path / NEXT_FILE, "--root", tmp_path / "root.key", "--json").exit_code == 0
    assert json.loads(run("keyset", "publish", "--dir", tmp_path, "--json").stdout)["version"] == 3
    shown = json.loads(run("keyset", "show", "--dir", tmp_path, "--json").stdout)
    assert [row["role"] for row in shown["keys"]] == ["link", "command", "token", "command"]
    made = run("keyset", "root-key", tmp_path / "new.key", "--json")
    assert len(json.loads(made.stdout)["public"]) == 64


def test_an_access_token_is_renewed_at_two_thirds_of_its_life_and_only_for_its_key():
    agent = key("agent")
    text = access_token(key("token"), "a", agent.kid, "host", 1_000, 900)
    assert due_in_s(text, agent, 1_000) == 600
    assert due_in_s(text, agent, 1_601) == 0
    assert due_in_s(text, key("other"), 1_000) == 0
    assert due_in_s(None, agent, 1_000) == due_in_s("x", agent, 1_000) == 0
    assert usable(text, agent, 1_000) == text
    assert usable(text, agent, 1_895) is usable(text, key("other"), 1_000) is usable("x", agent, 0) is None
