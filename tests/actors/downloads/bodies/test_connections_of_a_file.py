"""How many connections a file has, how much an answer brings, who hashes it, and who gets the last memory."""

import hashlib

import pytest

from actors.downloads.bodies.api import Control
from actors.downloads.bodies.buffers import Buffers
from actors.downloads.bodies.crew import EACH_BLOCKS, SPARE_BLOCKS, Crew
from actors.downloads.bodies.job import ALONE_S, PATIENCE_S, SCARCE_S, SUPPLY_BLOCKS, Job
from actors.downloads.bodies.throttle import Throttle
from actors.downloads.manifest import Manifest, RemoteFile, Staging

BLOCK, COUNT = 256 << 10, 40
HASH_S = 0.001
BEHIND = (4 * EACH_BLOCKS + SPARE_BLOCKS) // 4 - 1
"""Of four connections, which share the memory."""


class Bench:
    """A crew over files of forty blocks each, at a time that the test sets; the caller is every thread."""

    def __init__(self, folder):
        self.folder, self.now = folder, 100.0

    def crew(self, files=1, allowed=4, cores=8, memory=40, size=COUNT * BLOCK):
        listed = tuple(
            RemoteFile(f"{at}.bin", size, "sha256", hashlib.sha256(b"%d" % at).hexdigest(), ("http://127.0.0.1/x",))
            for at in range(files)
        )
        manifest = Manifest("hub", "org/repo", "main", "c0ffee", listed)
        staging = Staging(manifest, self.folder / "files", self.folder / "work")
        self.jobs = [Job(file, staging, BLOCK, 4) for file in listed]
        buffers = Buffers(memory, BLOCK)
        self.made = Crew(
            manifest, Control(), self.jobs, buffers, allowed, Throttle(None), cores=cores, clock=lambda: self.now
        )
        return self.made

    def take(self):
        """The next item; None when there is none now."""
        with self.made.lock:
            item = self.made._next()[0]
        if item is not None:
            item.job.answered = True
        return item

    def hash(self, item, waited_s):
        """A block came and was hashed after so long."""
        job = item.job
        self.made.arrived(item)
        self.now += waited_s + HASH_S
        job.hashed(self.now - HASH_S, self.now)
        job.judge(item.index, "digest", fresh=True)
        with self.made.lock:
            job.blocks.advance()
        self.made.wrote(item)

    def close(self):
        for job in self.jobs:
            job.close()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


def fed(bench):
    """A file of which one connection brings all, and its hash never waits."""
    bench.crew()
    first = bench.take()
    with bench.made.lock:
        bench.jobs[0].blocks.release(1, COUNT, 0)
        bench.jobs[0]._wait_s = 0.0
    bench.hash(first, 0.0)
    return bench.take()


def test_a_file_has_one_connection_until_it_is_known_whether_that_is_enough(bench):
    bench.crew()
    assert bench.take().behind == BEHIND
    assert bench.take() is None
    bench.now += 2 * ALONE_S
    assert bench.take().index == 1 + BEHIND


def test_a_connection_that_brings_what_the_hash_takes_brings_all_by_one_answer(bench):
    item = fed(bench)
    bench.now += 2 * ALONE_S
    bench.jobs[0].rested_at = bench.now
    assert (item.index, item.behind) == (1, COUNT - 2)
    assert bench.take() is None, "a second one would only fill memory"


def test_where_the_hash_waits_others_bring_what_was_promised_to_one(bench):
    item = fed(bench)
    bench.now += SCARCE_S / 2
    assert bench.take() is None, "a short wait is not worth the bytes that are under way"
    bench.now += SCARCE_S
    second, third = bench.take(), bench.take()
    assert (second.index, second.behind, third.index) == (3 + BEHIND, BEHIND, 4 + 2 * BEHIND)
    assert bench.made.claim(item.job, 2 + BEHIND, item.index)
    assert not bench.made.claim(item.job, 3 + BEHIND, item.index), "the first answer ends where another one began"


def test_workers_are_hungry_where_a_hash_waits_and_nothing_is_left_to_ask_for(bench):
    crew = bench.crew(size=2 * BLOCK)
    bench.take()
    crew.busy = 1
    assert crew.hungry, "both blocks come by one answer"
    bench.jobs[0]._wait_s = 0.0
    bench.jobs[0]._hash_s = HASH_S
    assert not crew.hungry, "it brings enough"
    bench.now += 2 * PATIENCE_S
    assert crew.hungry
    crew.busy = 4
    assert not crew.hungry, "all are at work"


def test_the_last_answers_are_short_so_that_all_connections_end_together(bench):
    bench.crew(size=12 * BLOCK)
    first = bench.take()
    bench.now += 2 * ALONE_S
    assert [first.behind, *(bench.take().behind for _ in range(3))] == [2, 2, 1, 1]


def test_the_supply_of_a_file_is_the_share_of_the_time_in_which_it_is_hashed(bench):
    bench.crew()
    job = bench.jobs[0]
    for _ in range(10 * SUPPLY_BLOCKS):
        job.hashed(job.rested_at, job.rested_at + HASH_S)
    assert job.supply == pytest.approx(1.0, abs=1e-3)
    assert job.plenty(job.rested_at)
    assert not job.plenty(job.rested_at + 2 * PATIENCE_S), "it waits for long now"
    for _ in range(5 * SUPPLY_BLOCKS):
        job.hashed(job.rested_at + 40 * HASH_S, job.rested_at + 41 * HASH_S)
        for _ in range(3):
            job.hashed(job.rested_at, job.rested_at + HASH_S)
    assert job.supply == pytest.approx(4 / 44, abs=0.05), "three that came with another were not enough"
    assert not job.plenty(job.rested_at)


def test_a_pause_counts_no_more_than_a_wait(bench):
    bench.crew()
    job = bench.jobs[0]
    job.hashed(3_600.0, 3_600.0 + HASH_S)
    for _ in range(6 * SUPPLY_BLOCKS):
        job.hashed(job.rested_at, job.rested_at + HASH_S)
    assert job.plenty(job.rested_at)


def test_each_of_as_many_files_as_connections_comes_by_one_answer(bench):
    bench.crew(files=4)
    items = [bench.take() for _ in range(4)]
    assert {item.job.file.name for item in items} == {"0.bin", "1.bin", "2.bin", "3.bin"}
    assert [item.behind for item in items] == 4 * [COUNT - 1]
    assert bench.take() is None


def test_the_last_memory_is_for_the_blocks_that_are_hashed_next(bench):
    crew = bench.crew(memory=4)
    first = bench.take()
    blocks = first.job.blocks
    assert [crew.memory(blocks, at) is None for at in (1, 2)] == [False, False]
    with crew.lock:
        assert crew._memory(blocks, 3) is None
        assert crew._memory(blocks, 0) is not None
        assert crew._memory(blocks, 0) is None, "all is in use"


def test_who_is_in_need_of_memory_is_not_given_more_than_those_at_work_use(bench):
    crew = bench.crew(allowed=1)
    blocks = bench.take().job.blocks
    with crew.lock:
        given = [crew._memory(blocks, 0) for _ in range(20)]
    assert sum(view is not None for view in given) == EACH_BLOCKS + SPARE_BLOCKS - 1


@pytest.mark.parametrize(("files", "cores", "here"), [(1, 1, True), (1, 2, False), (4, 2, True), (4, 8, False)])
def test_who_brought_a_block_hashes_it_where_the_files_keep_the_cores_at_work(bench, files, cores, here):
    crew = bench.crew(files=files, cores=cores)
    items = [bench.take() for _ in range(files)]
    assert not crew.hashes(items[0].job), "nothing is whole"
    crew.arrived(items[0])
    assert crew.hashes(items[0].job) is here
    if here:
        assert not crew.hashes(items[0].job), "one at a time"


def test_a_small_file_is_hashed_by_who_brought_it(bench):
    crew = bench.crew(size=BLOCK)
    item = bench.take()
    crew.arrived(item)
    assert crew.hashes(item.job)
