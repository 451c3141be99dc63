"""The host's files as kernels write them: other orders, rows that move, devices that come and go, texts cut short."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.metrics import procfs
from actors.metrics.host_look import KILL_LOOKS, SLOW_LOOKS, HostLook
from actors.metrics.traffic import LOOKS, SLACK_BYTES, Cards, Disks, Paces

HEAD = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls"
    " carrier compressed\n"
)


class Texts(procfs.Kept):
    """Files that say what they are told to; a part is cut as the kernel cuts it, or a little later."""

    def __init__(self):
        super().__init__()
        self.texts, self.asked = {}, []

    def raw(self, path):
        self.asked.append(path)
        return self.texts[path].encode() if path in self.texts else super().raw(path)

    def part(self, path, begin, size):
        self.asked.append(path)
        return (
            self.texts[path].encode()[begin : begin + size] if path in self.texts else super().part(path, begin, size)
        )


@pytest.fixture
def kept():
    made = Texts()
    yield made
    made.close()


# -- a file of any length -------------------------------------------------------------------------------------


def test_what_the_kernel_gives_a_page_at_a_time_is_read_whole():
    """As /proc/net/dev on a machine with many containers, or /proc/diskstats on one with many disks."""
    kept, file = procfs.Kept(), "/proc/self/smaps"
    for _ in range(20):
        ours, theirs = kept.raw(file), Path(file).read_bytes()
        if ours.count(b"VmFlags") == theirs.count(b"VmFlags"):
            break
    kept.close()
    assert len(theirs) > 4 * procfs.READ_BYTES
    assert (ours.count(b"VmFlags"), ours[-1:]) == (theirs.count(b"VmFlags"), b"\n")


# -- memory and processors ------------------------------------------------------------------------------------

MEMINFO = (
    "MemTotal:       12201236 kB\nMemFree:        11219516 kB\nMemAvailable:   11658160 kB\n"
    "Buffers:           52236 kB\nCached:           585136 kB\nSwapCached:            0 kB\nActive:  458904 kB\n"
    "SwapTotal:       4194300 kB\nSwapFree:        4190208 kB\nDirty:               248 kB\n"
)
FOUND = {
    "memory.total_bytes": 12201236,
    "memory.free_bytes": 11219516,
    "memory.available_bytes": 11658160,
    "memory.cached_bytes": 585136,
    "memory.swap_total_bytes": 4194300,
    "memory.swap_free_bytes": 4190208,
}


@given(st.permutations(MEMINFO.splitlines(keepends=True)), st.integers(0, 10))
def test_memory_is_read_in_any_order_and_what_is_not_there_is_absent(lines, left_out):
    kept = Texts()
    first = next(number for number, line in enumerate(lines) if line.startswith("MemTotal"))
    lines = [lines[first], *lines[:first], *lines[first + 1 :]]
    kept.texts["/proc/meminfo"] = "".join(lines[: len(lines) - left_out])
    names = {line.partition(":")[0] for line in lines[: len(lines) - left_out]}
    wanted = {
        ours: FOUND[ours] * 1024
        for ours, theirs in zip(
            FOUND, ("MemTotal", "MemFree", "MemAvailable", "Cached", "SwapTotal", "SwapFree"), strict=True
        )
        if theirs in names
    }
    assert procfs.read_memory(kept) == wanted


@given(st.lists(st.integers(0, 10**12), min_size=6, max_size=6))
def test_memory_is_read_with_any_number_of_digits(values):
    kept, text = Texts(), MEMINFO
    for name, value in zip(FOUND, values, strict=True):
        text = text.replace(f" {FOUND[name]} kB", f" {value} kB")
    kept.texts["/proc/meminfo"] = text
    assert procfs.read_memory(kept) == {name: value * 1024 for name, value in zip(FOUND, values, strict=True)}


def stat(*ticks, tasks="procs_running 3\nprocs_blocked 1\n"):
    row = " ".join(map(str, ticks))
    return f"cpu  {row} 0 0\ncpu0 {row} 0 0\nintr 9 0 0\n{tasks}softirq 1 2 3\n"


def shares(kept, *texts):
    look = HostLook(kept, lambda: 0.0)
    for text in texts:
        kept.texts["/proc/stat"] = text
        found = look.now()
    return found


def test_shares_are_of_what_passed_and_a_count_that_went_back_stood_still(kept):
    found = shares(kept, stat(10, 0, 10, 1000, 50, 1, 1, 0), stat(40, 10, 20, 1040, 40, 3, 3, 6))
    wanted = {"cpu.busy": 0.6, "cpu.user": 0.4, "cpu.system": 0.14, "cpu.iowait": 0.0, "cpu.steal": 0.06}
    assert {name: found[name] for name in wanted} == wanted
    assert (found["tasks_running"], found["tasks_blocked"]) == (3, 1)
    assert found["cpu_s_total"] == (40 + 10 + 20 + 3 + 3 + 6) / procfs.TICKS
    assert "cpu.busy" not in shares(kept, stat(9, 9, 9, 9, 9, 9, 9, 9), stat(1, 1, 1, 1, 1, 1, 1, 1))


@pytest.mark.parametrize("tasks", ["", "procs_running 3\n", "procs_blocked 1\n"])
def test_tasks_that_the_kernel_does_not_count_are_not_zero(kept, tasks):
    found = shares(kept, stat(1, 1, 1, 1, 1, 1, 1, 1, tasks=tasks))
    assert not {"tasks_running", "tasks_blocked"} & set(found)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("some avg10=0.00 avg60=12.50 avg300=0 total=1\nfull avg10=0.00 avg60=0.07 avg300=0 total=1\n", (0.125, 7e-4)),
        ("some avg10=0.00 avg60=100.00 avg300=0.00 total=1\n", (1.0, None)),
        ("", (None, None)),
        ("some avg10=0.00\n", (None, None)),
    ],
)
def test_pressure_of_kernels_with_and_without_it(text, wanted):
    found = {}
    procfs.pressure_of(found, text.encode(), "some", "full")
    assert (found.get("some"), found.get("full")) == wanted


# -- what the kernel killed -----------------------------------------------------------------------------------


def vmstat(kills, before=100):
    rows = [f"nr_row_{number} {10**8 + number}" for number in range(before)]
    return "\n".join([*rows, *([] if kills is None else [f"oom_kill {kills}"]), "numa_hit 5", "last 1"]) + "\n"


@pytest.mark.parametrize("moves", [0, 1, 5, 60, -60])
def test_kills_are_found_wherever_their_row_has_moved(kept, moves):
    kills = procfs.OomKills()
    for count, before in ((7, 100), (8, 100), (19, 100 + moves), (20, 100 + moves)):
        kept.texts["/proc/vmstat"] = vmstat(count, before)
        assert kills.read(kept) == count
    kept.texts["/proc/vmstat"] = vmstat(None)
    assert kills.read(kept) is None


def test_a_row_that_is_cut_is_no_count(kept):
    for moved in range(2 * procfs.AROUND_BYTES):
        kills = procfs.OomKills()
        kept.texts["/proc/vmstat"] = text = vmstat(123456)
        kills.read(kept)
        kept.texts["/proc/vmstat"] = "x" * moved + text
        assert kills.read(kept) == 123456, moved


def looks(kept, kills, total):
    """A machine of which a task waited so long for memory, and on which so many were killed."""
    kept.texts["/proc/vmstat"] = vmstat(kills)
    if total is None:
        kept.texts["/proc/pressure/memory"] = ""
    else:
        row = f"avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"
        kept.texts["/proc/pressure/memory"] = f"some {row}full {row}"


def test_kills_are_counted_at_once_when_a_task_waited_for_memory_and_soon_otherwise(kept):
    look = HostLook(kept, lambda: 0.0)
    looks(kept, 1, 100)
    assert look.flow()["oom_kills"] == 1
    for kills in range(2, 6):
        looks(kept, kills, 100 + kills)
        assert look.flow()["oom_kills"] == kills
    looks(kept, 6, 105)
    seen = [look.flow()["oom_kills"] for _ in range(KILL_LOOKS)]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (5, 6)
    kept.asked.clear()
    for _ in range(KILL_LOOKS):
        look.flow()
    assert kept.asked.count("/proc/vmstat") == 1


def test_pressure_of_processors_and_disks_is_read_soon_and_of_memory_at_once(kept):
    look = HostLook(kept, lambda: 0.0)
    for number in range(2 * SLOW_LOOKS):
        row = f"some avg10=0.00 avg60={number}.00 avg300=0.00 total=0\n"
        kept.texts |= {f"/proc/pressure/{what}": row for what in ("cpu", "memory", "io")}
        found = look.flow()
        assert found["pressure.memory.some"] == number / 100
        assert found["pressure.cpu.some"] == found["pressure.io.some"] == number // SLOW_LOOKS * SLOW_LOOKS / 100
    kept.texts["/proc/pressure/cpu"] = ""
    assert "pressure.cpu.some" not in look.flow()


def test_without_pressure_kills_are_counted_at_each_look(kept):
    look = HostLook(kept, lambda: 0.0)
    for kills in range(4):
        looks(kept, kills, None)
        assert look.flow()["oom_kills"] == kills


# -- network --------------------------------------------------------------------------------------------------


def row(name, received, sent, faults=0):
    return f"{name:>6}: {received:7d} {1:7d} {faults:4d}    0    0     0          0         0 {sent:8d} 1 0 0 0 0 0 0\n"


def net(tmp_path, *real):
    for name in real:
        (tmp_path / name / "device").mkdir(parents=True, exist_ok=True)
    return Cards(str(tmp_path))


NAMES = ("eth0", "veth0", "enp65s0f0np0", "bond0", "lo")
ROWS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**6)),
    unique_by=lambda one: one[0],
    max_size=5,
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(0, 40))
def test_cards_are_summed_whatever_comes_before_and_behind_them(tmp_path_factory, texts, containers):
    folder, kept, cards, before = tmp_path_factory.getbasetemp() / "net", Texts(), None, None
    for rows in texts:
        real = [one for one in rows if one[0] in {"eth0", "enp65s0f0np0"}]
        if before != {one[0] for one in real}:  # a card that came is seen some looks later
            cards, before = net(folder, "eth0", "enp65s0f0np0"), {one[0] for one in real}
        kept.texts["/proc/net/dev"] = HEAD + "".join(row(*one) for one in rows) + row("veth9", 1, 1) * containers
        for _ in range(2):
            found = cards.read(kept)
            assert not real or found == tuple(sum(one[number] for one in real) for number in (1, 2, 3))


def test_of_many_containers_no_row_is_asked_for(kept, tmp_path):
    cards = net(tmp_path, "eth0")
    kept.texts["/proc/net/dev"] = HEAD + row("lo", 1, 1) + row("eth0", 10, 20) + row("veth1", 1, 1) * 90
    cards.read(kept)
    sizes, part = [], kept.part
    kept.part = lambda *asked: sizes.append(asked[2]) or part(*asked)
    assert cards.read(kept) == (10, 20, 0)
    assert sizes[0] < len(HEAD) + 800


def test_a_row_that_is_cut_is_no_traffic(kept, tmp_path):
    for moved in range(2 * SLACK_BYTES):
        cards, rows = net(tmp_path, "eth0"), row("eth0", 12345678, 87654321, 99)
        kept.texts["/proc/net/dev"] = HEAD + rows
        cards.read(kept)
        kept.texts["/proc/net/dev"] = HEAD + row("a" * moved, 1, 1) + rows
        assert cards.read(kept) == (12345678, 87654321, 99), moved


def test_a_card_that_goes_is_missed_at_once_and_one_that_comes_is_seen_soon(kept, tmp_path):
    cards = net(tmp_path, "eth0", "eth1")
    kept.texts["/proc/net/dev"] = HEAD + row("eth0", 10, 20) + row("eth1", 1, 2)
    assert cards.read(kept) == (11, 22, 0)
    kept.texts["/proc/net/dev"] = HEAD + row("eth1", 1, 2)
    assert cards.read(kept) == (1, 2, 0)
    kept.texts["/proc/net/dev"] = HEAD + row("eth1", 1, 2) + row("eth0", 10, 20)
    assert [cards.read(kept) for _ in range(LOOKS + 1)][-1] == (11, 22, 0)


def test_a_machine_without_a_card_has_no_traffic_not_none_of_it(kept, tmp_path):
    cards = net(tmp_path)
    kept.texts["/proc/net/dev"] = HEAD + row("lo", 9, 9) + row("docker0", 9, 9)
    assert cards.read(kept) is None
    kept.texts["/proc/net/dev"] = HEAD + row("ens3", 10, 20, 3) + row("lo", 9, 9)
    assert [cards.read(kept) for _ in range(LOOKS + 1)][-1] == (10, 20, 3)


# -- disks ----------------------------------------------------------------------------------------------------


def disk(block, name, read, written):
    (block / name).mkdir(parents=True, exist_ok=True)
    (block / name / "stat").write_text(f"  10 0 {read} 4 20 0 {written} 5 0 0 0 0 0 0 0 0 0\n")


def test_whole_disks_are_summed_and_what_lies_on_them_is_not(kept, tmp_path):
    disks = Disks(str(tmp_path / "block"))
    assert disks.read(kept) is None
    for name in ("loop0", "dm-0", "md127", "zram0", "sr0"):
        disk(tmp_path / "block", name, 1000, 1000)
    disk(tmp_path / "block", "nvme0n1", 3, 4)
    disk(tmp_path / "block", "sda", 10, 20)
    assert [disks.read(kept) for _ in range(LOOKS + 1)][-1] == (13 * 512, 24 * 512)
    kept.forget(f"{tmp_path}/block/sda/stat")  # of the kernel's files an open one fails when its device is gone
    (tmp_path / "block" / "sda" / "stat").unlink()
    (tmp_path / "block" / "sda").rmdir()
    assert disks.read(kept) == (3 * 512, 4 * 512)
    disk(tmp_path / "block", "sdb", 100, 200)
    assert [disks.read(kept) for _ in range(LOOKS + 1)][-1] == (103 * 512, 204 * 512)
    assert len(kept._open) == 2


def test_the_kernels_own_table_says_the_same(kept):
    for _ in range(20):
        lines = [line.split() for line in Path("/proc/diskstats").read_text().splitlines()]
        ours = Disks().read(kept)
        after = [line.split() for line in Path("/proc/diskstats").read_text().splitlines()]
        if lines == after:
            break
    names = {one.name for one in Path("/sys/block").iterdir() if not re.match("loop|ram|dm-|md|zram|sr|fd", one.name)}
    rows = [words for words in lines if words[2] in names]
    assert ours == ((sum(int(w[5]) for w in rows) * 512, sum(int(w[9]) for w in rows) * 512) if rows else None)


# -- paces ----------------------------------------------------------------------------------------------------


def pace(paces, now_s, of, value):
    figures = {}
    paces.put(figures, now_s, of, (value,))
    assert figures["bytes_total"] == value
    return figures.get("bytes_per_s")


def test_a_pace_is_of_the_same_devices_and_never_negative():
    paces = Paces("bytes")
    assert pace(paces, 10.0, ("a",), 100) is None
    assert pace(paces, 14.0, ("a",), 300) == 50.0
    assert pace(paces, 14.0, ("a",), 400) is None, "no time passed"
    assert pace(paces, 15.0, ("a",), 10) is None, "it went back: it was begun anew"
    assert pace(paces, 16.0, ("a",), 10) == 0.0
    assert pace(paces, 17.0, ("a", "b"), 10**12) is None, "what another did before was not done in this second"
    assert pace(paces, 18.0, ("a", "b"), 10**12 + 7) == 7.0
