import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.envelope import OVERHEAD_BYTES, check, cut, seal
from protocol.errors import Code, ProtocolError
from protocol.ids import uuid7
from protocol.keys import SMALL_ORDER, UNBOUND, KeyPair, Purpose, check_public, key_id, verify
from protocol.limits import BODY_MAX_BYTES
from tests.fakes.trust import key

A, B = key("a"), key("b")


@given(st.binary(max_size=2_000), st.sampled_from(list(Purpose)), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_to_the_same_bytes(body, purpose, bind):
    frame = seal(A, purpose, bind, body)
    assert len(frame) == len(body) + OVERHEAD_BYTES
    parts = cut(frame)
    assert parts.kid == A.kid == key_id(A.public)
    assert check(parts, A.public, purpose, bind) == body


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_changed_byte_never_opens(body, data):
    frame = bytearray(seal(A, Purpose.TO_AGENT, UNBOUND, body))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        parts = cut(bytes(frame))
        check(parts, {A.kid: A.public}.get(parts.kid, B.public), Purpose.TO_AGENT, UNBOUND)


@pytest.mark.parametrize(
    ("public", "purpose", "bind"),
    [
        (B.public, Purpose.TO_AGENT, UNBOUND),
        (A.public, Purpose.TO_MASTER, UNBOUND),
        (A.public, Purpose.TO_AGENT, b"x" * 32),
        (b"short", Purpose.TO_AGENT, UNBOUND),
    ],
)
def test_another_key_purpose_or_binding_does_not_verify(public, purpose, bind):
    signature = A.sign(Purpose.TO_AGENT, UNBOUND, b"body")
    with pytest.raises(ProtocolError) as caught:
        verify(public, purpose, bind, b"body", signature)
    assert caught.value.code is Code.SIGNATURE


def test_a_body_has_a_bound():
    seal(A, Purpose.TO_AGENT, UNBOUND, bytes(BODY_MAX_BYTES))
    with pytest.raises(ProtocolError) as caught:
        seal(A, Purpose.TO_AGENT, UNBOUND, bytes(BODY_MAX_BYTES + 1))
    assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize("point", sorted(SMALL_ORDER))
@pytest.mark.parametrize("sign_bit", [0, 0x80])
def test_public_keys_of_small_order_are_refused(point, sign_bit):
    with pytest.raises(ProtocolError):
        check_public(point[:31] + bytes([point[31] | sign_bit]))


@pytest.mark.parametrize("offset", range(19))
def test_public_keys_that_are_not_canonical_are_refused(offset):
    with pytest.raises(ProtocolError):
        check_public((2**255 - 19 + offset).to_bytes(32, "little"))


def test_a_key_shows_itself_without_its_seed():
    assert A.seed.hex() not in repr(A)
    assert KeyPair.from_seed(A.seed).public == A.public
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPair.from_seed(b"short")


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time_and_carry_their_version(at_ms, one, other):
    first, second = uuid7(at_ms, one), uuid7(at_ms + 1, other)
    assert first < second
    assert first[6] >> 4 == 7
    assert first[8] >> 6 == 2
