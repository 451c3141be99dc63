import os
import subprocess
import sys

import pytest

from benchmarks.procfs import cpu_seconds, pss_mib, rss_mib, tree
from tests.bed.processes import wait_until

CHILD = "import subprocess, sys; subprocess.Popen(['sleep', '300']); print(sum(range(10**7)), flush=True); input()"


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        one.stdout.readline()
        yield one
        for pid in tree(one.pid)[1:]:
            os.kill(pid, 9)
        one.kill()


def test_memory_is_that_of_the_process_shared_pages_in_part(child):
    assert 2 < pss_mib([child.pid]) <= rss_mib([child.pid]) < 200
    assert rss_mib([child.pid, child.pid]) > rss_mib([child.pid])


def test_processor_time_is_what_was_used(child):
    assert 0.05 < cpu_seconds([child.pid]) < 60


def test_a_tree_holds_the_children(child):
    family = wait_until(lambda: tree(child.pid)[1:], timeout_s=10, what="the child's child")
    assert len(family) == 1
    assert tree(child.pid)[0] == child.pid


def test_a_process_that_has_ended_is_not_read_as_nothing():
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with pytest.raises(FileNotFoundError):
        pss_mib([ended.pid])
