"""Container figures from control groups, both versions, found by process or by container id."""

import os

import pytest

from actors.facts import EngineFacts
from actors.metrics.cgroup import Groups
from actors.metrics.containers_look import ContainersLook
from actors.metrics.procfs import Kept

ID = "ab" * 32
V2 = {
    "cgroup.procs": "41\n42\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_throttled 1\nthrottled_usec 500000\n",
    "memory.current": "1000\n",
    "memory.stat": "anon 1\ninactive_file 300\nactive_file 7\n",
    "memory.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 1\noom_kill 2\n",
    "memory.pressure": "some avg10=0.00 avg60=12.50 avg300=0.00 total=1\nfull avg10=0.00 avg60=3.00 total=1\n",
    "pids.current": "3\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n",
}
V1 = {
    "cpuacct/cpuacct.usage": "2500000000\n",
    "cpu/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 500000000\n",
    "memory/cgroup.procs": "41\n42\n",
    "memory/memory.usage_in_bytes": "1000\n",
    "memory/memory.stat": "cache 1\ninactive_file 5\ntotal_inactive_file 300\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/pids.current": "3\n",
    "blkio/blkio.throttle.io_service_bytes": "8:0 Read 11\n8:0 Write 22\n8:0 Total 33\nTotal 33\n",
}
FIGURES = {
    "cpu_s_total": 2.5,
    "throttled_s_total": 0.5,
    "memory_bytes": 700,
    "oom_kills": 2,
    "processes": 3,
    "read_bytes_total": 11,
    "written_bytes_total": 22,
}


class Tree:
    """Control groups and /proc of a machine, as files."""

    def __init__(self, folder, version):
        self.root, self.proc, self.version = folder / "cgroup", folder / "proc", version
        self.kept = Kept()
        self.groups = Groups(self.kept, self.root, self.proc)

    def container(self, place, pid=None):
        files = V2 if self.version == 2 else V1
        for name, text in files.items():
            controller, _, file = name.rpartition("/")
            target = self.root / controller / place / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        if self.version == 2:
            (self.root / "cgroup.controllers").write_text("memory\n")
        if pid is not None:
            lines = (
                [f"0::/{place}"]
                if self.version == 2
                else [f"{n}:{names}:/{place}" for n, names in enumerate(("cpu,cpuacct", "memory", "pids", "blkio"), 1)]
                + ["0::/"]
            )
            (self.proc / str(pid)).mkdir(parents=True)
            (self.proc / str(pid) / "cgroup").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[1, 2])
def tree(request, tmp_path):
    made = Tree(tmp_path, request.param)
    yield made
    made.kept.close()


def figures(found):
    return {name: value for name, value in found.items() if not name.startswith("pressure")}


def test_every_figure_by_the_process(tree):
    tree.container(f"docker/{ID}", pid=41)
    found = tree.groups.usage(ID, 41)
    assert figures(found) == FIGURES
    assert found.get("pressure.memory.some", 0.125) == 0.125
    assert tree.groups.processes(ID, 41) == {41, 42}


@pytest.mark.parametrize("place", ["docker/{id}", "system.slice/docker-{id}.scope", "machine/llm/{id}"])
def test_without_a_look_at_other_peoples_processes_it_is_found_by_its_id(tree, place):
    tree.container(place.format(id=ID))
    assert figures(tree.groups.usage(ID, 41)) == FIGURES
    assert tree.groups.usage("cd" * 32, 41) is None


def test_a_process_id_that_belongs_to_another_container_now_tells_nothing(tree):
    tree.container("docker/" + "cd" * 32, pid=41)
    assert tree.groups.usage(ID, 41) is None


def test_a_limit_is_a_figure_and_no_limit_is_none(tree):
    tree.container(f"docker/{ID}", pid=41)
    assert "memory_limit_bytes" not in tree.groups.usage(ID, 41)
    name = "memory.max" if tree.version == 2 else "memory/memory.limit_in_bytes"
    controller, _, file = name.rpartition("/")
    (tree.root / controller / "docker" / ID / file).write_text("5000\n")
    assert tree.groups.usage(ID, 41)["memory_limit_bytes"] == 5000


def test_rates_need_two_looks_and_another_container_begins_anew(tree):
    tree.container(f"docker/{ID}", pid=41)
    now = [0.0]
    look = ContainersLook(tree.groups, lambda: now[0])
    engine = EngineFacts("chat", "vllm", "ready", container_id=ID, pid=41)
    assert "cpu_cores" not in look.look((engine,))["containers"]["chat"]
    name = "cpu.stat" if tree.version == 2 else "cpuacct.usage"
    place = tree.root / ("" if tree.version == 2 else "cpuacct") / "docker" / ID / name
    place.write_text("usage_usec 4500000\n" if tree.version == 2 else "4500000000\n")
    now[0] = 4.0
    assert look.look((engine,))["containers"]["chat"]["cpu_cores"] == 0.5
    assert look.look(()) == {"containers": {}}
    assert tree.kept._open == {}, "files of a container that is gone are closed"


def test_our_own_group_is_read():
    kept = Kept()
    found = Groups(kept).usage(None, os.getpid())
    assert Groups(kept).usage(None, 2**22 - 1) is None
    kept.close()
    assert found is None or found.get("processes", 1) >= 1
