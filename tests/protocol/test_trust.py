import pytest

from protocol.enrollment import make_answer, make_request, open_answer, open_request
from protocol.errors import Code, ProtocolError
from protocol.keyset import KeysetKey, Role, Roots, open_keyset, sign_keyset
from protocol.messages.reports import Inventory
from protocol.tokens import (
    TYPE_ACCESS,
    TYPE_ASSERTION,
    JoinToken,
    access_token,
    assertion,
    check_token,
    parse_join_token,
    token_owner,
)
from tests.fakes.trust import AGENT, FAR_MS, NOW_MS, ROOTS, body, document, key, keyset

TOKEN = JoinToken(b"t" * 8, b"s" * 32, ROOTS.pin())
REQUEST = make_request(TOKEN, key("agent"), Inventory(values={"cpu.count": 2}), b"n" * 32, NOW_MS)


def answer(**changes):
    request = open_request(REQUEST)
    given = {
        "mac_key": TOKEN.mac_key,
        "key": key("token"),
        "agent_id": AGENT,
        "roots": ROOTS,
        "document": document(),
        "access": "access",
    }
    return make_answer(request, **(given | changes))


def test_enrollment_gives_an_identity_that_both_sides_believe():
    request = open_request(REQUEST)
    request.prove(TOKEN.mac_key)
    assert request.public == key("agent").public
    enrolled = open_answer(answer(), TOKEN, REQUEST, now_ms=NOW_MS)
    assert (enrolled.agent_id, enrolled.access_token, enrolled.keyset.version) == (AGENT, "access", 1)


def test_the_secret_never_travels():
    assert TOKEN.secret not in REQUEST
    assert TOKEN.secret not in answer()
    assert TOKEN.secret.hex() not in repr(TOKEN)


def test_a_request_without_the_secret_is_not_proven():
    with pytest.raises(ProtocolError) as caught:
        open_request(REQUEST).prove(b"x" * 32)
    assert caught.value.code is Code.TOKEN


@pytest.mark.parametrize(
    "changes",
    [
        {"mac_key": b"x" * 32},
        {"roots": Roots(threshold=1, publics=(key("evil").public,))},
        {"key": key("link")},
        {"document": sign_keyset(body(), [key("evil")])},
    ],
    ids=["mac", "roots", "role", "keyset"],
)
def test_an_answer_that_does_not_hold_is_not_believed(changes):
    with pytest.raises(ProtocolError):
        open_answer(answer(**changes), TOKEN, REQUEST, now_ms=NOW_MS)


def test_an_answer_to_another_request_is_not_believed():
    other = make_request(TOKEN, key("agent"), Inventory(values={}), b"o" * 32, NOW_MS)
    with pytest.raises(ProtocolError):
        open_answer(answer(), TOKEN, other, now_ms=NOW_MS)


def test_a_join_token_survives_its_text_and_tampering_does_not():
    assert parse_join_token(TOKEN.text() + "\n") == TOKEN
    for bad in ("", "msj1.a.b", "msj2" + TOKEN.text()[4:], TOKEN.text()[:-2], TOKEN.text() + "=", "msj1.é.b.c"):
        with pytest.raises(ProtocolError) as caught:
            parse_join_token(bad)
        assert TOKEN.text()[5:20] not in str(caught.value)


def test_tokens_hold_for_their_key_kind_audience_and_time():
    now = NOW_MS // 1000
    text = assertion(key("agent"), AGENT, "host/v1/link", now, "jti")
    assert token_owner(text) == (TYPE_ASSERTION, AGENT)
    assert check_token(text, key("agent").public, TYPE_ASSERTION, "host/v1/link", now)["jti"] == "jti"
    access = access_token(key("token"), AGENT, key("agent").kid, "host", now, 100)
    assert check_token(access, key("token").public, TYPE_ACCESS, "host", now)["cnf"]["kid"] == key("agent").kid.hex()
    wrong = [
        (text, key("other").public, TYPE_ASSERTION, "host/v1/link", now),
        (text, key("agent").public, TYPE_ACCESS, "host/v1/link", now),
        (text, key("agent").public, TYPE_ASSERTION, "elsewhere", now),
        (text, key("agent").public, TYPE_ASSERTION, "host/v1/link", now + 120),
        (text, key("agent").public, TYPE_ASSERTION, "host/v1/link", now - 120),
        (text[:-4], key("agent").public, TYPE_ASSERTION, "host/v1/link", now),
    ]
    for case in wrong:
        with pytest.raises(ProtocolError):
            check_token(*case)


def test_a_keyset_names_who_may_do_what_and_when():
    found = keyset()
    assert found.publics(Role.LINK, NOW_MS) == {key("link").kid: key("link").public}
    assert found.publics(Role.LINK, FAR_MS) == {}
    assert found.role_of(key("command").kid) == "command"
    revoked = keyset(revoked=(key("link").kid,))
    assert revoked.publics(Role.LINK, NOW_MS) == {}


def test_new_roots_need_the_old_and_the_new():
    new = Roots(threshold=1, publics=(key("new-root").public,))
    changed = body(2, roots=new)
    both = sign_keyset(changed, [key("root"), key("new-root")])
    assert open_keyset(both, ROOTS, now_ms=NOW_MS).body.roots == new
    for signers in (["root"], ["new-root"]):
        with pytest.raises(ProtocolError):
            open_keyset(sign_keyset(changed, [key(name) for name in signers]), ROOTS, now_ms=NOW_MS)


def test_a_threshold_counts_different_keys():
    two = Roots(threshold=2, publics=(key("root").public, key("second").public))
    once = sign_keyset(body(roots=two), [key("root"), key("root")])
    with pytest.raises(ProtocolError):
        open_keyset(once, two, now_ms=NOW_MS)
    open_keyset(sign_keyset(body(roots=two), [key("root"), key("second")]), two, now_ms=NOW_MS)


def test_a_role_that_is_not_known_is_refused():
    strange = KeysetKey(public=key("x").public, role="admin", not_before_ms=0, not_after_ms=FAR_MS)
    with pytest.raises(ProtocolError):
        open_keyset(document(keys=(strange,)), ROOTS, now_ms=NOW_MS)
