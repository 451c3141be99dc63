import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.errors import RefusedError
from actors.engines.leases import choose, decode, encode
from protocol.messages.engine_spec import Gpus

MACHINE = ("GPU-0", "GPU-1", "GPU-2", "GPU-3")


def test_two_engines_never_get_one_gpu():
    first = choose(MACHINE, {}, "a", Gpus(count=2))
    second = choose(MACHINE, {"a": first}, "b", Gpus(count=2))
    assert sorted(first + second) == list(MACHINE)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Gpus(count=5), "this machine has 4"),
        (Gpus(count=3), "2 of 4 are free"),
        (Gpus(uuids=("GPU-0",)), "engine a has it"),
        (Gpus(uuids=("GPU-9",)), "does not have it"),
    ],
)
def test_a077_what_is_not_free_is_refused_with_numbers(wanted, words):
    with pytest.raises(RefusedError, match=words) as caught:
        choose(MACHINE, {"a": MACHINE[:2]}, "b", wanted)
    assert caught.value.code == "E_POLICY.device"


def test_a_new_generation_stays_on_its_gpus():
    assert choose(MACHINE, {"a": ("GPU-2",), "b": ("GPU-0",)}, "a", Gpus(count=2)) == ("GPU-2", "GPU-1")


def test_an_engine_without_gpus_gets_none():
    assert choose(MACHINE, {"a": MACHINE}, "b", Gpus()) == ()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 4)), max_size=12))
def test_leases_are_disjoint_whatever_is_asked(asks):
    taken = {}
    for name, count in asks:
        try:
            taken[name] = decode(encode(choose(MACHINE, taken, name, Gpus(count=count))))
        except RefusedError:
            continue
        held = [uuid for uuids in taken.values() for uuid in uuids]
        assert len(held) == len(set(held))
        assert len(taken[name]) == count
