"""What goes when space is needed: properties that hold for every store."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.downloads.collection import NEEDED, Bounds, Stored, collect
from actors.downloads.space import Space, above_watermark, explained, missing

NOW = 1_000_000.0


@st.composite
def stores(draw):
    blobs = {f"blob {number}": size for number, size in enumerate(draw(st.lists(st.integers(0, 500), max_size=5)))}
    found = []
    for number in range(draw(st.integers(0, 8))):
        partial = draw(st.booleans())
        shared = draw(st.lists(st.sampled_from(sorted(blobs)), unique=True)) if blobs else []
        found.append(
            Stored(
                f"v{number}",
                draw(st.integers(0, 1_000)),
                {name: blobs[name] for name in shared},
                used_at=NOW - draw(st.integers(-100, 10_000)),
                leases=0 if partial else draw(st.integers(0, 1)),
                pinned=not partial and draw(st.booleans()),
                current=not partial and draw(st.booleans()),
                partial=partial,
                active=draw(st.booleans()),
            )
        )
    return tuple(found)


bounds = st.builds(
    Bounds,
    young_s=st.sampled_from([0.0, 600.0]),
    unused_age_s=st.sampled_from([None, 5_000.0]),
    partial_budget_bytes=st.sampled_from([0, 800, 1 << 40]),
    partial_age_s=st.sampled_from([60.0, 7_000.0]),
)


def used(stored):
    shared = {}
    for one in stored:
        shared.update(one.shared)
    return sum(one.own_bytes for one in stored) + sum(shared.values())


@settings(max_examples=400, deadline=None)
@given(stores(), bounds, st.integers(0, 6_000), st.booleans())
def test_the_plan_keeps_its_promises(stored, limits, need, partly):
    plan = collect(stored, limits, NOW, need, partly=partly)
    gone = {one.key for one in plan.doomed}
    left = [one for one in stored if one.key not in gone]
    assert len(gone) == len(plan.doomed), "nothing goes twice"
    for one in stored:
        if one.key in gone:
            assert not one.leases
            assert not one.pinned
            assert not one.current
            assert not one.active
            assert one.partial or NOW - min(one.used_at, NOW) >= limits.young_s
    assert used(stored) - used(left) == plan.frees_bytes, "what it says is freed is freed, shared files included"
    assert plan.short_bytes == max(0, need - plan.frees_bytes)
    needed = [one for one in plan.doomed if one.why == NEEDED]
    if plan.short_bytes and not partly:
        assert not needed, "nothing goes in vain"
    assert {one.key for one in plan.spared}.isdisjoint(gone)


@settings(max_examples=200, deadline=None)
@given(stores(), bounds, st.integers(1, 6_000))
def test_what_was_used_last_goes_last_and_no_more_than_is_needed(stored, limits, need):
    plan = collect(stored, limits, NOW, need)
    needed = [one for one in plan.doomed if one.why == NEEDED]
    by_key = {one.key: one for one in stored}
    order = [(not by_key[one.key].partial, by_key[one.key].used_at) for one in needed]
    assert order == sorted(order)
    if needed:
        last = next(one for one in reversed(plan.doomed) if one.why == NEEDED)
        before = tuple(one for one in stored if one.key not in {gone.key for gone in plan.doomed if gone is not last})
        assert used(stored) - used(before) < need, "without the last one it was not enough"


def test_a_partial_goes_before_a_version_and_a_shared_file_frees_nothing_alone():
    limits = Bounds(600.0, None, 1 << 40, 1e9)
    partial = Stored("partial", 10, used_at=NOW - 1, partial=True)
    one = Stored("one", 5, {"blob": 100}, used_at=NOW - 9_000)
    other = Stored("other", 5, {"blob": 100}, used_at=NOW - 8_000)
    assert [gone.key for gone in collect((one, other, partial), limits, NOW, 5).doomed] == ["partial"]
    plan = collect((one, other, partial), limits, NOW, 50)
    assert [(gone.key, gone.frees_bytes) for gone in plan.doomed] == [("partial", 10), ("one", 5), ("other", 105)]
    pinned = Stored("other", 5, {"blob": 100}, used_at=NOW - 8_000, pinned=True)
    assert collect((one, pinned), limits, NOW, 50).doomed == (), "the shared file would stay: nothing goes in vain"


def test_a_clock_that_was_set_back_protects_and_does_not_delete():
    limits = Bounds(600.0, 60.0, 1 << 40, 60.0)
    plan = collect((Stored("v", 10, used_at=NOW + 1e6),), limits, NOW, 10)
    assert plan.doomed == ()
    assert plan.spared[0].why == "it is young"


sizes = st.integers(0, 10_000)


@given(sizes, sizes, sizes, sizes, st.none() | sizes, sizes)
def test_what_fits_leaves_the_floor_and_keeps_the_quota(held, promised, free, floor, quota, wanted):
    space = Space(held, promised, free, floor, quota)
    short = missing(space, wanted)
    if short == 0 and wanted:
        assert free - promised - wanted >= floor
        assert quota is None or held + promised + wanted <= quota
    freed = Space(max(0, held - short), promised, free + min(short, held), floor, quota)
    if short <= held:
        assert missing(freed, wanted) == 0, "what is said to be missing is enough"
    assert str(wanted) in explained(space, wanted)


@given(sizes, sizes, st.none() | sizes)
def test_watermarks_have_a_gap(held, free, quota):
    space = Space(held, 0, free, 0, quota)
    need = above_watermark(space, 85.0, 80.0)
    if need:
        after = Space(held - need, 0, free + need, 0, quota)
        assert above_watermark(after, 85.0, 80.0) == 0
        assert after.used_bytes <= space.capacity_bytes * 0.8 + 1
