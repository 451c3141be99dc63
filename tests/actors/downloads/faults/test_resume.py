"""After a kill, a loss of power, or damage: the right bytes, and only what is missing or wrong is sent again."""

import os
import random

import pytest

from actors.downloads.bodies import job, journal
from tests.actors.downloads.faults.conftest import Bench
from tests.actors.downloads.faults.kills import BIG, BIG_BLOCK, RATE, Nursery

POINTS = 20
CONNECTIONS = 4
SEED = 1_306


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def cut(nursery, tmp_path):
    """A transfer that was killed in the middle, and the origin that it asked."""
    bench = Bench(tmp_path)
    origin = bench.origin(body=BIG, rate=RATE)
    nursery.kill_at(tmp_path, origin, len(BIG) // 2)
    origin.rate = 0
    yield bench, origin
    bench.close()


def again(bench, origin, block_bytes=BIG_BLOCK):
    """Bring it to the end; the bytes that were sent for that."""
    before = origin.sent
    bench.bring(bench.file(origin.url, body=BIG), block_bytes=block_bytes)
    assert bench.read() == BIG
    return origin.sent - before


def parts(bench):
    (partial,) = (bench.folder / "work").glob("*.part")
    return partial, partial.with_suffix(".journal")


def written(bench):
    """Bytes that the journal says are there."""
    return sum(journal.understand(parts(bench)[1].read_bytes(), journal.boot_id()).filled.values())


def test_kill_9_at_twenty_points_sends_only_what_is_missing(nursery, tmp_path):
    chosen = random.Random(SEED)
    print(f"seed {SEED}")
    missing = unseen = sent = 0
    for number in range(POINTS):
        bench = Bench(tmp_path / f"{number}")
        origin = bench.origin(body=BIG, rate=RATE)
        point, how = int(len(BIG) * chosen.uniform(0.02, 0.9)), "several" if number % 2 else "-"
        had = nursery.kill_at(bench.folder, origin, point, how)
        origin.rate = 0
        lacking = len(BIG) - written(bench)
        resent = again(bench, origin)
        assert resent <= 1.02 * lacking
        assert resent <= len(BIG) - had + CONNECTIONS * BIG_BLOCK, "what was in sockets and slices, at most"
        missing, unseen, sent = missing + lacking, unseen + len(BIG) - had, sent + resent
        bench.close()
    print(f"sent again {sent / missing:.4f} of what the disk lacked, {sent / unseen:.4f} of what was never sent")


def test_a_damaged_partial_is_mended_where_it_is_damaged(cut):
    bench, origin = cut
    there = written(bench)
    with parts(bench)[0].open("r+b") as partial:
        for place in (100_000, 5 * BIG_BLOCK + 7):
            partial.seek(place)
            partial.write(bytes(4_096))
    assert again(bench, origin) <= len(BIG) - there + 3 * BIG_BLOCK


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_journal_costs_what_it_said_and_no_more(cut, seed):
    bench, origin = cut
    there, chosen = written(bench), random.Random(seed)
    file = parts(bench)[1]
    data = bytearray(file.read_bytes())
    for _ in range(5):
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    file.write_bytes(data)
    assert again(bench, origin) <= len(BIG) - there + 6 * BIG_BLOCK


@pytest.mark.parametrize("damage", ["absent", "empty", "noise", "of another file", "torn"])
def test_a_journal_that_says_nothing_is_no_harm(cut, damage):
    bench, origin = cut
    file = parts(bench)[1]
    whole = file.read_bytes()
    match damage:
        case "absent":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "noise":
            file.write_bytes(os.urandom(10_000))
        case "of another file":
            text = f"B {journal.boot_id()}", *(f"W {index} {BIG_BLOCK} x" for index in range(99))
            file.write_bytes(b"".join(journal.seal(line) for line in text))
        case "torn":
            file.write_bytes(whole[: len(whole) * 2 // 3])
    assert again(bench, origin) <= 1.1 * len(BIG)


@pytest.mark.parametrize("block_bytes", [BIG_BLOCK // 2, BIG_BLOCK * 3 // 2, BIG_BLOCK * 2])
def test_a_release_with_blocks_of_another_size_goes_on_with_what_is_there(cut, block_bytes):
    bench, origin = cut
    lacking = len(BIG) - written(bench)
    assert again(bench, origin, block_bytes) <= lacking + CONNECTIONS * max(block_bytes, BIG_BLOCK)


def test_a_loss_of_power_keeps_what_was_made_durable(cut, monkeypatch):
    bench, origin = cut
    partial, file = parts(bench)
    data = file.read_bytes()
    durable = journal.understand(data, "another boot").filled
    assert durable, "a barrier was passed before the kill"
    with partial.open("r+b") as disk:  # every write after the last barrier is lost
        for index, filled in journal.understand(data, journal.boot_id()).filled.items():
            kept = durable.get(index, 0)
            disk.seek(index * BIG_BLOCK + kept)
            disk.write(bytes(filled - kept))
    monkeypatch.setattr(job, "boot_id", lambda: "another boot")
    assert again(bench, origin) <= len(BIG) - sum(durable.values()) + 2 * BIG_BLOCK


def test_a_loss_of_power_that_kept_the_journal_only_is_no_harm(cut, monkeypatch):
    bench, origin = cut
    partial, _ = parts(bench)
    with partial.open("r+b") as disk:
        disk.write(bytes(len(BIG)))
    monkeypatch.setattr(job, "boot_id", lambda: "another boot")
    assert again(bench, origin) <= 1.1 * len(BIG)


def test_another_version_at_the_source_is_never_mixed_with_what_was_there(cut):
    bench, origin = cut
    body = bytes(reversed(BIG))
    origin.body, origin.etag = body, '"v2"'
    bench.bring(bench.file(origin.url, body=body), block_bytes=BIG_BLOCK)
    assert bench.read() == body


def test_the_same_version_goes_on_at_another_mirror(cut):
    bench, origin = cut
    there = written(bench)
    other = bench.origin(body=BIG, etag='"differs"')
    del origin
    assert again(bench, other) <= len(BIG) - there + BIG_BLOCK
