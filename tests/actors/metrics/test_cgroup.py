"""Container figures from control groups, both versions, found by process or by container id."""

import os

import pytest

from actors.facts import EngineFacts
from actors.metrics.cgroup import CACHE_LOOKS, MOVED_BYTES, SEARCH_LOOKS, SLOW_LOOKS, Groups
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

    def file(self, name):
        controller, _, file = name.rpartition("/")
        return self.root / controller / "docker" / ID / file

    def write(self, name, text):
        self.file(name).write_text(text)

    def looks(self, count):
        """The last of so many looks."""
        return [self.groups.usage(ID, 41) for _ in range(count)][-1]


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


def test_a_container_that_does_not_run_is_searched_seldom_and_at_once_when_it_has_a_process(tree, monkeypatch):
    walks, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda top: walks.append(top) or walk(top))
    tree.container("docker/" + "cd" * 32)
    assert tree.groups.usage(ID, None) is None
    searched = len(walks)
    assert searched
    assert [tree.groups.usage(ID, None) for _ in range(SEARCH_LOOKS)] == [None] * SEARCH_LOOKS
    assert len(walks) == searched
    tree.container(f"machine/llm/{ID}")
    assert figures(tree.groups.usage(ID, 41)) == FIGURES
    assert figures(tree.groups.usage(ID, None)) == FIGURES
    tree.groups.keep_only(set())
    assert (tree.groups._not_found, tree.kept._open) == ({}, {})


def test_a_process_id_that_belongs_to_another_container_now_tells_nothing(tree):
    tree.container("docker/" + "cd" * 32, pid=41)
    assert tree.groups.usage(ID, 41) is None


def test_a_limit_is_a_figure_and_no_limit_is_none(tree):
    tree.container(f"docker/{ID}", pid=41)
    assert "memory_limit_bytes" not in tree.groups.usage(ID, 41)
    tree.write("memory.max" if tree.version == 2 else "memory/memory.limit_in_bytes", "5000\n")
    assert tree.looks(SLOW_LOOKS)["memory_limit_bytes"] == 5000


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


OF_FILE = {
    "cpu.stat": {"cpu_s_total", "throttled_s_total"},
    "memory.current": {"memory_bytes"},
    "memory.events": {"oom_kills"},
    "memory.max": {"memory_limit_bytes"},
    "memory.pressure": {"pressure.memory.some", "pressure.memory.full"},
    "pids.current": {"processes"},
    "io.stat": {"read_bytes_total", "written_bytes_total"},
    "cpuacct/cpuacct.usage": {"cpu_s_total"},
    "cpu/cpu.stat": {"throttled_s_total"},
    "memory/memory.usage_in_bytes": {"memory_bytes"},
    "memory/memory.limit_in_bytes": {"memory_limit_bytes"},
    "memory/memory.oom_control": {"oom_kills"},
    "pids/pids.current": {"processes"},
    "blkio/blkio.throttle.io_service_bytes": {"read_bytes_total", "written_bytes_total"},
}
NONSENSE = "8:0 Read x\n8:0 rbytes=x wbytes=\nusage_usec -\nlow 0\noom_kill ?\nthrottled_time -1\n"
LIMIT = {"memory.max": "5000\n", "memory/memory.limit_in_bytes": "5000\n"}


@pytest.mark.parametrize("fault", ["not there", "unreadable text", "cut short"])
@pytest.mark.parametrize("name", OF_FILE)
def test_a_file_takes_its_own_figures_with_it_and_they_are_never_zero(tmp_path, name, fault):
    tree = Tree(tmp_path, 1 if "/" in name else 2)
    tree.container(f"docker/{ID}", pid=41)
    for limit, value in LIMIT.items():
        if tree.file(limit).exists():
            tree.write(limit, value)
    whole = tree.looks(1)
    text = tree.file(name).read_text()
    if fault == "not there":
        tree.kept.forget(str(tree.file(name)))  # of a control group an open file fails; of this one it does not
        tree.file(name).unlink()
    else:
        tree.write(name, "" if fault == "cut short" else NONSENSE)
    found = tree.looks(2 * SLOW_LOOKS)
    idle = "io" in name and fault == "cut short"  # so the kernel says that nothing was read or written
    missing = set() if idle else OF_FILE[name]
    assert set(found) == set(whole) - missing
    assert all(found[one] == whole[one] for one in found if one not in OF_FILE[name])
    tree.write(name, text)
    assert tree.looks(SLOW_LOOKS) == whole, "it is read again when it is there again"
    tree.kept.close()


def test_a_kill_is_seen_at_the_very_next_look(tree):
    tree.container(f"docker/{ID}", pid=41)
    name = "memory.events" if tree.version == 2 else "memory/memory.oom_control"
    for kills in range(3, 3 + 2 * SLOW_LOOKS):
        assert tree.looks(1)["oom_kills"] == kills - 1
        tree.write(name, f"under_oom 0\noom 1\noom_kill {kills}\n")


def test_cache_is_asked_again_when_the_memory_moved_and_now_and_then(tree):
    tree.container(f"docker/{ID}", pid=41)
    used, stat, row = (
        ("memory.current", "memory.stat", "inactive_file")
        if tree.version == 2
        else ("memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file")
    )
    assert tree.looks(1)["memory_bytes"] == 700
    tree.write(stat, f"cache 1\n{row} {2 * MOVED_BYTES}\n")
    tree.write(used, f"{3 * MOVED_BYTES}\n")
    assert tree.looks(1)["memory_bytes"] == MOVED_BYTES, "a model that was read into the cache is no memory in use"
    tree.write(stat, f"cache 1\n{row} {MOVED_BYTES}\n")
    assert tree.looks(CACHE_LOOKS)["memory_bytes"] == 2 * MOVED_BYTES


def test_containers_are_not_all_looked_at_slowly_at_the_same_look(tmp_path):
    tree = Tree(tmp_path, 2)
    ids = [f"{number:02}" * 32 for number in range(SLOW_LOOKS)]
    for one in ids:
        tree.container(f"docker/{one}")
        tree.groups.usage(one, None)
    for one in ids:
        (tree.root / "docker" / one / "pids.current").write_text("9\n")
    seen = [{one for one in ids if tree.groups.usage(one, None)["processes"] == 9} for _ in range(SLOW_LOOKS)]
    tree.kept.close()
    assert [len(ones) for ones in seen] == [1, 2, 3]


def test_more_devices_than_one_read_takes_are_summed(tree):
    tree.container(f"docker/{ID}", pid=41)
    rows = range(400)
    if tree.version == 2:
        tree.write("io.stat", "".join(f"8:{n} rbytes={n} wbytes={2 * n} rios=1\n" for n in rows))
    else:
        text = "".join(f"8:{n} Read {n}\n8:{n} Write {2 * n}\n" for n in rows)
        tree.write("blkio/blkio.throttle.io_service_bytes", text)
    found = tree.looks(1)
    assert (found["read_bytes_total"], found["written_bytes_total"]) == (sum(rows), 2 * sum(rows))


def test_a_counter_that_went_back_has_no_pace(tree):
    tree.container(f"docker/{ID}", pid=41)
    now = [0.0]
    look, engines = (
        ContainersLook(tree.groups, lambda: now[0]),
        [EngineFacts("chat", "vllm", "ready", "", "", 0, ID, 41)],
    )
    look.look(engines)
    tree.write(*(("cpu.stat", "usage_usec 1\n") if tree.version == 2 else ("cpuacct/cpuacct.usage", "1\n")))
    now[0] = 5.0
    found = look.look(engines)["containers"]["chat"]
    assert "cpu_cores" not in found
    assert (found["read_bytes_per_s"], found["written_bytes_per_s"]) == (0.0, 0.0)
    engines.append(EngineFacts("other", "vllm", "loading"))
    engines[0] = EngineFacts("code", "vllm", "ready", "", "", 0, ID, 41)
    assert set(look.look(engines)["containers"]) == {"code"}, "a list that was changed is looked at anew"


def test_our_own_group_is_read():
    kept = Kept()
    found = Groups(kept).usage(None, os.getpid())
    assert Groups(kept).usage(None, 2**22 - 1) is None
    kept.close()
    assert found is None or found.get("processes", 1) >= 1
