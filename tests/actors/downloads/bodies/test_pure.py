"""The decisions of the transfer engine that touch nothing: answers, journals, blocks, connections, caps, hours."""

import hashlib
import random

import pytest

from actors.downloads.bodies import journal
from actors.downloads.bodies.adapt import HOLD_PERIODS, Adapted, adapt
from actors.downloads.bodies.answers import RETRY_AFTER_MAX_S, Meaning, judge
from actors.downloads.bodies.blocks import Blocks
from actors.downloads.bodies.http1 import Answer, BrokenError, parse_head
from actors.downloads.bodies.job import Job
from actors.downloads.bodies.throttle import Hours, Throttle
from actors.downloads.manifest import Manifest, RemoteFile, Staging


@pytest.mark.parametrize(
    ("status", "headers", "meaning"),
    [
        (206, {"content-range": "bytes 10-19/100", "content-length": "10"}, Meaning.BYTES),
        (206, {"content-range": "bytes 10-14/100"}, Meaning.BYTES),
        (206, {"content-range": "bytes 10-19/*"}, Meaning.BYTES),
        (206, {"content-range": "bytes 10-20/100"}, Meaning.ODD),
        (206, {"content-range": "bytes 9-19/100"}, Meaning.ODD),
        (206, {"content-range": "bytes 10-19/100", "content-length": "11"}, Meaning.ODD),
        (206, {}, Meaning.ODD),
        (206, {"content-range": "bytes 10-19/99"}, Meaning.WRONG),
        (206, {"content-range": "bytes 10-19/100", "content-encoding": "gzip"}, Meaning.WRONG),
        (200, {"content-length": "100"}, Meaning.WHOLE),
        (200, {}, Meaning.WHOLE),
        (200, {"content-length": "99"}, Meaning.WRONG),
        (200, {"content-type": "text/html; charset=utf-8"}, Meaning.WRONG),
        (416, {"content-range": "bytes */5"}, Meaning.WRONG),
        (403, {}, Meaning.REFUSED),
        (503, {}, Meaning.BUSY),
        (429, {"retry-after": "7"}, Meaning.BUSY),
        (418, {}, Meaning.ODD),
    ],
)
def test_what_an_answer_means(status, headers, meaning):
    assert judge(Answer(status, headers), 10, 20, 100).meaning is meaning


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("99999", RETRY_AFTER_MAX_S),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("soon", 0),
        ("-3", 0),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone_whatever_the_clock_says(text, seconds):
    assert judge(Answer(503, {"retry-after": text}), 0, 1, 1, now_s=10.0).wait_s == seconds


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"SSH-2.0-x",
        b"HTTP/2 200",
        b"HTTP/1.1 OK",
        b"HTTP/1.1 200 OK\r\nbad",
        b"HTTP/1.1 200\r\n a: b",
        b"HTTP/1.1 200\r\nContent-Length: 1\r\nContent-Length: 2",
        b"HTTP/1.1 200\r\nContent-Length: -1",
    ],
)
def test_what_is_no_answer_is_refused(head):
    with pytest.raises(BrokenError):
        parse_head(head)


def lines(*texts):
    return b"".join(journal.seal(text) for text in texts)


def test_lines_of_this_boot_count_and_of_another_only_before_the_barrier():
    data = lines("B one", "W 0 10 a", "P 0 abc")
    data += journal.seal(f"D {len(data)}") + lines("W 1 10 a", "P 1 def")
    assert journal.understand(data, "one").filled == {0: 10, 1: 10}
    after = journal.understand(data, "two")
    assert (after.filled, after.proofs) == ({0: 10}, {0: "abc"})
    assert journal.understand(data + lines("B two", "W 2 5 b"), "two").filled == {0: 10, 2: 5}


def test_a_barrier_says_nothing_of_lines_that_came_while_it_was_made():
    before = lines("B one", "W 0 10 a")
    data = before + lines("W 1 10 a") + journal.seal(f"D {len(before)}")
    assert journal.understand(data, "two").filled == {0: 10}


def test_any_damage_of_a_journal_costs_lines_and_never_tells_a_lie():
    chosen = random.Random(7)
    texts = [
        "B one",
        *(f"W {index} {index + 1} t" for index in range(50)),
        *(f"P {index} d{index}" for index in range(50)),
    ]
    whole = lines(*texts)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chosen.randrange(1, 6)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        known = journal.understand(bytes(data[: chosen.randrange(len(data) + 1)]), "one")
        assert all(filled == index + 1 for index, filled in known.filled.items())
        assert all(digest == f"d{index}" for index, digest in known.proofs.items())


def test_a_long_journal_is_made_short_and_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "COMPACT_BYTES", 2_000)
    file = tmp_path / "x.journal"
    first = journal.Journal(file, "one", 10)
    for count in range(200):
        first.written(3, count, "t")
    first.proven(2, "abc")
    first.close()
    second = journal.Journal(file, "one", 10)
    second.written(4, 7, "t")
    second.close()
    assert file.stat().st_size < 300
    known = journal.understand(file.read_bytes(), "one")
    assert (known.filled, known.proofs) == ({3: 199, 4: 7}, {2: "abc"})


def test_a_proof_is_written_with_the_next_line_and_at_every_barrier(tmp_path):
    file = tmp_path / "x.journal"
    book = journal.Journal(file, "one", 10)
    book.proven(0, "abc")
    assert journal.understand(file.read_bytes(), "one").proofs == {}
    book.written(1, 5, "t")
    book.proven(1, "def")
    assert journal.understand(file.read_bytes(), "one").proofs == {0: "abc"}
    book.durable(book.mark())
    assert journal.understand(file.read_bytes(), "two").proofs == {0: "abc", 1: "def"}
    book.proven(2, "wrong")
    book.forget()
    book.close()
    known = journal.understand(file.read_bytes(), "one")
    assert (known.filled, known.proofs) == ({}, {})


def test_what_is_said_after_all_was_forgotten_is_of_this_boot(tmp_path):
    file = tmp_path / "x.journal"
    book = journal.Journal(file, "one", 10)
    book.written(0, 5, "t")
    book.forget()
    book.written(1, 7, "t")
    book.close()
    assert journal.Journal(file, "one", 10).known.filled == {1: 7}


@pytest.mark.parametrize(("size", "lines", "filled"), [(10, 4, {3: 10}), (20, 0, {})])
def test_a_journal_of_blocks_of_another_size_says_nothing(tmp_path, size, lines, filled):
    file = tmp_path / "x.journal"
    book = journal.Journal(file, "one", 10)
    book.written(3, 10, "t")
    book.proven(3, "abc")
    book.close()
    again = journal.Journal(file, "one", size)
    assert (again.known.lines, again.known.filled, bool(again.known.proofs)) == (lines, filled, bool(lines))
    again.close()
    assert journal.understand(file.read_bytes(), "one").block_bytes == size


def test_memory_waits_for_a_block_that_is_on_its_way_before_another_is_given_up():
    blocks = Blocks(size_bytes=30, block_bytes=10)
    blocks.begin_with({})
    assert (blocks.take(), blocks.take(), blocks.awaited) == (0, 1, True)
    blocks.give_back(0, 0)
    assert not blocks.awaited


def test_a_barrier_does_nothing_once_the_file_is_complete(tmp_path):
    body = bytes(9 << 20)
    file = RemoteFile("model.bin", len(body), "sha256", hashlib.sha256(body).hexdigest(), ("http://127.0.0.1/x",))
    manifest = Manifest("hub", "org/repo", "main", "c0ffee", (file,))
    job = Job(file, Staging(manifest, tmp_path / "files", tmp_path / "work"), 4 << 20, 4)
    job.open()
    job.write(0, memoryview(body)[: 1 << 20], 0, 1 << 20, "t")
    job.finish()
    assert job.unsynced_bytes
    job.barrier()  # the watching thread may come to it at that very moment
    assert job.target.stat().st_size == len(body)


def test_blocks_are_asked_for_in_order_hashed_in_order_and_spilled_from_the_end():
    blocks, views = Blocks(size_bytes=95, block_bytes=10), [memoryview(bytes([index])) for index in range(10)]
    assert blocks.begin_with({0: 10, 1: 4}) == 14
    assert (blocks.count, blocks.length(9), blocks.filled) == (10, 5, {1: 4})
    assert [blocks.take() for _ in range(3)] == [1, 2, 3]
    assert blocks.ready, "what was there before"
    assert blocks.advance() is None
    blocks.arrive(3, views[3])
    blocks.arrive(2, views[2])
    assert not blocks.ready
    assert blocks.spill() is None, "no disk has them yet"
    assert [blocks.wrote(index) for index in (2, 3)] == [None, None], "the hash wants them"
    assert blocks.spill() is views[3]
    blocks.give_back(1, 8)
    assert blocks.take() == 1
    blocks.arrive(1, views[1])
    assert blocks.spill() is None, "it can be hashed now"
    assert [blocks.advance() for _ in range(3)] == [None, views[2], None]
    assert blocks.outstanding == 1, "the memory of the block that is being written"
    assert blocks.wrote(1) is views[1]
    assert blocks.rewind({0, 5}) == 20
    assert (blocks.frontier, blocks.take()) == (0, 0)


def test_what_is_hashed_while_it_is_written_is_proven_once_it_and_all_before_it_are_on_disk():
    blocks, views = Blocks(size_bytes=30, block_bytes=10), [memoryview(bytes([index])) for index in range(3)]
    blocks.begin_with({})
    for index in [blocks.take() for _ in range(3)]:
        blocks.arrive(index, views[index])
    assert blocks.wrote(1) is None
    assert [blocks.advance() for _ in range(3)] == [None, views[1], None]
    assert (list(blocks.settle()), blocks.complete) == ([], False), "the first is not on disk"
    assert blocks.wrote(0) is views[0]
    assert (list(blocks.settle()), blocks.complete) == ([0, 1], False)
    assert blocks.wrote(2) is views[2]
    assert (list(blocks.settle()), list(blocks.settle()), blocks.complete) == ([2], [], True)
    blocks.rewind({1})
    assert [blocks.advance(), list(blocks.settle())] == [None, [0]], "proven anew"


def test_what_was_promised_to_an_answer_and_did_not_come_is_missing_again():
    blocks = Blocks(130, 10)
    blocks.begin_with({11: 3})
    first = blocks.take()
    assert blocks.promise(first, 1) == 1
    assert (second := blocks.take()) == 2
    assert blocks.promise(second, 7) == 7
    assert blocks.take() == 10, "what is promised is nobody else's"
    assert blocks.promise(10, None) == 0, "of what follows a part is on disk"
    assert not blocks.claim(3, 0), "it comes by another answer"
    assert blocks.claim(3, 2)
    blocks.give_back(3, 4)
    blocks.release(1, 10, 2)
    assert [blocks.take() for _ in range(7)] == [*range(3, 10)]
    assert blocks.promised == {1: 0}, "of another answer"
    blocks.release(1, 2, 0)
    assert blocks.take() == 1
    assert blocks.claim(12, 0)
    assert not blocks.claim(12, 0), "another has it"


def test_nothing_is_promised_beyond_a_block_of_which_a_part_is_on_disk_or_that_another_has():
    blocks = Blocks(60, 10)
    blocks.begin_with({2: 3})
    blocks.arrive(blocks.take(), memoryview(b"0" * 10))
    assert blocks.promise(blocks.take(), None) == 0, "the part is read from the disk, and its rest asked for"
    assert blocks.take() == 2
    assert blocks.claim(4, 0)
    assert blocks.promise(2, None) == 1
    assert blocks.promised == {3: 2}


def test_what_one_connection_was_promised_and_others_may_bring_sooner_is_missing_but_for_its_next():
    blocks = Blocks(60, 10)
    blocks.begin_with({})
    assert blocks.promise(blocks.take(), None) == 5
    assert blocks.withdraw(1)
    assert (blocks.promised, blocks.missing) == ({1: 0}, [2, 3, 4, 5])
    assert not blocks.withdraw(1), "nothing more"
    assert blocks.take() == 2
    assert blocks.claim(1, 0)
    assert not blocks.claim(2, 0), "the first answer ends where another one began"
    assert blocks.claim(3, 0), "it would go on with what nobody took"


def test_connections_grow_while_it_pays_and_shrink_when_a_server_asks():
    state = adapt(Adapted(4), 100.0, 16)
    assert state.connections == 6
    assert adapt(state, 150.0, 16).connections > 6
    back = adapt(state, 101.0, 16)
    assert (back.connections, back.hold) == (4, HOLD_PERIODS)
    assert adapt(back, 500.0, 16).connections == 4
    assert adapt(Adapted(12), 100.0, 16, refused=True).connections == 6
    assert adapt(Adapted(2), 100.0, 16, refused=True).connections == 2
    top = Adapted(4)
    for number in range(40):
        top = adapt(top, 100.0 * 2**number, 16)
    assert top.connections == 16


def test_the_cap_is_paid_for_by_all_together():
    free, capped = Throttle(None), Throttle(1_000_000)
    assert free.pay(1 << 30, 0.0) == 0.0
    waits = [capped.pay(250_000, 10.0) for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert capped.piece(4 << 20) <= 250_000


@pytest.mark.parametrize(
    ("text", "minute", "is_open"),
    [
        ("22:00-06:00", 23 * 60, True),
        ("22:00-06:00", 60, True),
        ("22:00-06:00", 12 * 60, False),
        ("08:00-10:00", 9 * 60, True),
        ("08:00-10:00", 10 * 60, False),
        ("00:00-00:00", 5, True),
    ],
)
def test_hours(text, minute, is_open):
    assert Hours.parse(text).open_at(minute) is is_open
