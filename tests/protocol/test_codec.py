import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import _check_depth, _may_hide, decode, encode
from protocol.errors import ProtocolError
from protocol.limits import ARRAY_MAX_ITEMS, DEPTH_MAX_LEVELS

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.binary(max_size=50)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def deep(value):
    if isinstance(value, dict):
        return 1 + max((deep(inner) for inner in value.values()), default=0) if value else 0
    if isinstance(value, tuple):
        return 1 + max((deep(inner) for inner in value), default=0) if value else 0
    return 0


@given(VALUES.filter(lambda value: deep(value) <= DEPTH_MAX_LEVELS))
def test_plain_values_come_back(value):
    assert decode(encode(value)) == value


@given(st.binary(max_size=400))
def test_any_bytes_give_a_value_or_the_one_error(data):
    try:
        decode(data)
    except ProtocolError:
        pass


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"\x91", b"\x81", b"\xdc\x00\x01", b"\xcf\xff" + bytes(7), b"\xcb\x7f\xf0" + bytes(6), b"\xa1a"]
        ),
        max_size=60,
    ).map(b"".join)
)
def test_what_the_walk_would_refuse_is_always_walked(data):
    found = None
    try:
        _check_depth(data)
    except ProtocolError as error:
        found = error.detail
    # An extension type is refused by the decoder itself.
    assert found is None or _may_hide(data) or "extension" in found


def nested(levels):
    return b"\x91" * levels + b"\xc0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode({"a": 1}) + b"\x00",
        encode({"a": [1, 2, 3]})[:-1],
        b"\x82\xa1a\x01\xa1a\x02",
        b"\xc7\x01\x05x",
        msgpack.packb(msgpack.Timestamp(1, 0)),
        nested(DEPTH_MAX_LEVELS + 1),
        nested(60_000),
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        encode([None] * (ARRAY_MAX_ITEMS + 1)),
        b"\xcf" + b"\xff" * 8,
        msgpack.packb(float("nan")),
        msgpack.packb(float("inf")),
        msgpack.packb(float("-inf"), use_single_float=True),
        msgpack.packb({1: 2}),
        msgpack.packb({b"a": 2}),
        b"\x81\x91\x01\x02",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
    ],
    ids=range(20),
)
def test_what_is_not_plain_bounded_and_whole_is_refused(data):
    with pytest.raises(ProtocolError):
        decode(data)


def test_the_deepest_that_is_allowed_is_allowed():
    assert decode(nested(DEPTH_MAX_LEVELS)) is not None
