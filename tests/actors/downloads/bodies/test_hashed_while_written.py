"""A block is hashed while it is written: what is said of it, and when, and what a failing disk leaves."""

import hashlib
import random
import threading
import time

import pytest

from actors.downloads.bodies import journal
from actors.downloads.bodies.api import Control
from actors.downloads.bodies.buffers import Buffers
from actors.downloads.bodies.crew import Crew
from actors.downloads.bodies.hasher import Hasher
from actors.downloads.bodies.job import Job
from actors.downloads.bodies.throttle import Throttle
from actors.downloads.manifest import Manifest, RemoteFile, Staging

BLOCK = 1 << 20
BODY = random.Random(5).randbytes(2 * BLOCK + 5)
DEADLINE_S = 30.0


class Held:
    """One file of three blocks, its crew, and a hasher at work; the caller is the worker."""

    def __init__(self, folder):
        self.folder = folder
        file = RemoteFile("m.bin", len(BODY), "sha256", hashlib.sha256(BODY).hexdigest(), ("http://127.0.0.1/x",))
        self.staging = Staging(
            Manifest("hub", "org/repo", "main", "c0ffee", (file,)), folder / "files", folder / "work"
        )
        self.buffers = Buffers(4, BLOCK)
        self.job = Job(file, self.staging, BLOCK, 4)
        self.crew = Crew(self.staging.manifest, Control(), [self.job], self.buffers, 1, Throttle(None), cores=4)
        self.hasher = threading.Thread(target=Hasher(self.crew, BLOCK).run)

    def item(self):
        item = self.crew.take(self)
        assert item is not None
        self.crew.release(self.job, item.index + 1, item.index + 1 + item.behind, item.index)
        self.job.answered = True
        length = self.job.blocks.length(item.index)
        item.view[:length] = BODY[item.index * BLOCK :][:length]
        item.tag = "t"
        return item

    number, rest_until = 0, 0.0

    def write(self, item):
        self.job.write(item.index, item.view, 0, self.job.blocks.length(item.index), item.tag)
        self.crew.wrote(item)

    def arrived(self, item):
        self.crew.arrived(item)
        assert not self.crew.hashes(self.job), "another thread does"

    def hashed(self, count):
        until = time.monotonic() + DEADLINE_S
        with self.crew.lock:
            while self.job.blocks.frontier < count:
                assert time.monotonic() < until, "nobody hashed it"
                self.crew.lock.wait(0.01)

    def proofs(self):
        assert self.job.journal is not None
        self.job.journal.mark()
        return sorted(journal.understand(self.job.part.with_suffix(".journal").read_bytes(), journal.boot_id()).proofs)

    def end(self):
        self.crew.stop()
        self.hasher.join(DEADLINE_S)
        self.job.close()


@pytest.fixture
def held(tmp_path):
    one = Held(tmp_path)
    one.hasher.start()
    yield one
    one.end()
    one.buffers.close()


def test_the_journal_proves_a_block_when_it_is_on_disk_and_the_file_appears_when_all_are(held):
    items = [held.item() for _ in range(3)]
    for item in items:
        held.arrived(item)
    held.hashed(3)
    assert held.proofs() == []
    held.write(items[1])
    assert held.proofs() == [], "what is before it is not on disk"
    held.write(items[0])
    assert held.proofs() == [0, 1]
    assert not held.job.target.exists()
    held.write(items[2])
    held.crew.await_end(DEADLINE_S)
    assert held.job.target.read_bytes() == BODY


def test_what_was_hashed_and_not_written_when_the_process_died_is_fetched_again(held):
    items = [held.item() for _ in range(2)]
    for item in items:
        held.arrived(item)
    held.hashed(2)
    held.write(items[1])
    held.end()
    after = Job(held.job.file, held.staging, BLOCK, 4)
    assert after.open() == BLOCK
    assert sorted(after.blocks.missing) == [0, 2]
    after.close()


def test_memory_of_a_block_that_is_hashed_is_nobody_elses_while_it_is_written(held):
    items = [held.item() for _ in range(3)]
    held.arrived(items[0])
    held.hashed(1)
    free = held.buffers.take(4, 0)
    assert free is not None
    assert held.buffers.take(4, 0) is None
    held.write(items[0])
    assert held.buffers.take(4, 0) is items[0].view


def test_a_block_that_the_disk_refused_stays_with_the_hash_since_all_is_over(held):
    item = held.item()
    held.arrived(item)
    held.crew.gave_back(item, 0)
    assert held.job.blocks.missing == [1, 2]
    assert all(view is not item.view for view in held.buffers._free), "the hash may be reading it"
