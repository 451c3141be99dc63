"""Our figures beside those of others in the same second: psutil, node_exporter, Docker, Prometheus."""

import re
import threading
import time
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.api.actor import Put
from actors.facts import EngineFacts, EnginesChanged
from actors.figures import ROOMS
from actors.metrics.alerts.derive import Signals
from actors.metrics.alerts.rule import Rules
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.alerts.state import Memory, Moment
from actors.metrics.alerts.step import step
from actors.metrics.cgroup import Groups
from actors.metrics.containers_look import ContainersLook
from actors.metrics.disks_look import file_system
from actors.metrics.engines_look import EnginesLook
from actors.metrics.gpu import Gpus
from actors.metrics.gpus_look import GpusLook
from actors.metrics.host_look import HostLook
from actors.metrics.procfs import Kept
from actors.metrics.snapshot import Snapshot
from actors.metrics.traffic import NOT_CARDS
from config.metrics import MetricsSettings
from tests.actors.api.bench import Bench
from tests.actors.test_figures import whole
from tests.bed import serving
from tests.bed.idle_image import idle_containers
from tests.bed.observers import NodeExporter, Prometheus, promtool
from tests.bed.processes import wait_until
from tests.fakes.nvml.machine import Machine, loaded

pytestmark = pytest.mark.e2e
TRIES = 20
"""A figure that another process moves between two reads is read again."""


@pytest.fixture
def kept():
    made = Kept()
    yield made
    made.close()


def between(ours, theirs):
    """Whether our figure lies between two of theirs that were taken before and after it; tried a few times."""
    tried = []
    for _ in range(TRIES):
        before, mine, after = theirs(), ours(), theirs()
        low, high = min(before, after), max(before, after)
        if low <= mine <= high:
            return
        tried.append((before, mine, after))
    pytest.fail(f"never between: {tried[-3:]}")


def near(ours, theirs, share):
    """Whether both are the same but for a share; tried a few times, since both move."""
    tried = []
    for _ in range(TRIES):
        mine, other = ours(), theirs()
        if abs(mine - other) <= share * max(abs(mine), abs(other), 1):
            return
        tried.append((mine, other))
    pytest.fail(f"never near: {tried[-3:]}")


# -- psutil ---------------------------------------------------------------------------------------------------


def test_the_host_is_what_psutil_says(kept):
    look = HostLook(kept, time.monotonic)
    assert look.now()["memory.total_bytes"] == psutil.virtual_memory().total
    near(lambda: look.now()["memory.available_bytes"], lambda: psutil.virtual_memory().available, 0.01)
    near(lambda: look.now()["memory.free_bytes"], lambda: psutil.virtual_memory().free, 0.02)
    assert look.now()["memory.swap_total_bytes"] == psutil.swap_memory().total
    near(lambda: look.flow()["load5"], lambda: psutil.getloadavg()[1], 0.02)

    def busy():
        times = psutil.cpu_times()
        return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice

    near(lambda: look.now()["cpu_s_total"], busy, 0.01)

    def disks():
        found = psutil.disk_io_counters(perdisk=True)
        names = {name for name in found if Path(f"/sys/block/{name}").exists()}
        return sum(
            found[name].write_bytes for name in names if not name.startswith(("loop", "ram", "dm-", "md", "zram"))
        )

    between(lambda: look.flow()["disk.written_bytes_total"], disks)


def cards():
    names = [path.name for path in Path("/sys/class/net").iterdir()]
    real = [name for name in names if (Path("/sys/class/net") / name / "device").exists()]
    return real or [name for name in names if not name.startswith(NOT_CARDS)]


def test_the_network_is_what_psutil_says(kept):
    look = HostLook(kept, time.monotonic)

    def received():
        found = psutil.net_io_counters(pernic=True)
        return sum(found[name].bytes_recv for name in cards())

    between(lambda: look.flow()["net.received_bytes_total"], received)


# -- node_exporter --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node():
    with NodeExporter("--collector.pressure") as exporter:

        def read(name, **labels):
            found = 0.0
            for family in text_string_to_metric_families(exporter.page()):
                for sample in family.samples:
                    if sample.name == name and labels.items() <= sample.labels.items():
                        found += sample.value
            return found

        yield read


def test_the_host_is_what_node_exporter_says(kept, node):
    look = HostLook(kept, time.monotonic)
    assert look.now()["memory.total_bytes"] == node("node_memory_MemTotal_bytes")
    near(lambda: look.now()["memory.available_bytes"], lambda: node("node_memory_MemAvailable_bytes"), 0.01)
    near(lambda: look.now()["memory.cached_bytes"], lambda: node("node_memory_Cached_bytes"), 0.02)
    near(lambda: look.flow()["load15"], lambda: node("node_load15"), 0.02)
    between(lambda: look.flow()["oom_kills"], lambda: node("node_vmstat_oom_kill"))

    def busy():
        modes = ("user", "nice", "system", "irq", "softirq", "steal")
        return sum(node("node_cpu_seconds_total", mode=mode) for mode in modes)

    near(lambda: look.now()["cpu_s_total"], busy, 0.01)
    between(
        lambda: look.flow()["net.received_bytes_total"],
        lambda: sum(node("node_network_receive_bytes_total", device=name) for name in cards()),
    )


def test_a_file_system_is_what_node_exporter_says(node):
    mount = max((Path(part.mountpoint) for part in psutil.disk_partitions()), key=lambda path: path == Path("/"))
    ours = file_system(mount)
    assert ours["total_bytes"] == node("node_filesystem_size_bytes", mountpoint=str(mount))
    near(
        lambda: file_system(mount)["free_bytes"],
        lambda: node("node_filesystem_avail_bytes", mountpoint=str(mount)),
        0.01,
    )


# -- Docker ---------------------------------------------------------------------------------------------------


WORK = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; head -c 20000000 /dev/zero > /tmp/x; sleep 300"


def test_a_container_is_what_dockers_own_stats_say(docker_engine, kept):
    command = ["/bin/busybox", "sh", "-c", WORK]
    with docker_engine.client() as client, idle_containers(client, 1, command, mem_limit=256 << 20) as (one,):
        facts = (EngineFacts("one", "llamacpp", "loading", container_id=one.id, pid=one.attrs["State"]["Pid"]),)
        look = ContainersLook(Groups(kept), time.monotonic)

        def ours(name):
            return look.look(facts)["containers"]["one"][name]

        wait_until(lambda: not any("while" in row[-1] for row in one.top()["Processes"]), timeout_s=40, what="its rest")
        stats = one.stats(stream=False)
        assert ours("cpu_s_total") == pytest.approx(stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, abs=0.01)
        assert ours("cpu_s_total") > 0.05
        memory = stats["memory_stats"]
        cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        assert ours("memory_bytes") == pytest.approx(memory["usage"] - cache, abs=512 << 10)
        assert ours("memory_limit_bytes") == memory["limit"] == 256 << 20
        assert ours("processes") == stats["pids_stats"]["current"]
        # A service that sees no other user's processes finds the same group by the container's id.
        hidden = Groups(kept, proc=Path("/nothing"))
        assert hidden.usage(one.id, None)["memory_limit_bytes"] == 256 << 20
        assert facts[0].pid in hidden.processes(one.id, None)


def test_programs_on_a_gpu_are_told_by_the_container_they_are_in(docker_engine, kept, tmp_path, monkeypatch):
    """Docker's own process list, the stand-in's GPU, our mapping."""
    loaded()
    machine = Machine(tmp_path / "gpus", gpus=1)
    monkeypatch.setenv("FAKE_NVML", str(machine.file))
    command = ["/bin/busybox", "sh", "-c", "sleep 301 & sleep 300"]
    with docker_engine.client() as client, idle_containers(client, 1, command) as (one,):
        pids = wait_until(
            lambda: len(found := [int(row[1]) for row in one.top()["Processes"]]) >= 2 and found,
            timeout_s=20,
            what="both programs",
        )
        machine.gpu(0, processes=",".join(f"{pid}:{1 << 20}" for pid in pids) + ",1:77")
        gpus = Gpus(tmp_path / "version")
        assert gpus.start()
        looked = gpus.sample()
        facts = (EngineFacts("chat", "vllm", "ready", container_id=one.id, pid=pids[0]),)
        GpusLook(Groups(kept, proc=Path("/nothing"))).name_programs(looked, facts)
        (figures,) = looked.values()
        gpus.stop()
        assert figures["memory_by_engine"] == {"chat": len(pids) << 20, "-": 77}


# -- a real engine --------------------------------------------------------------------------------------------


def test_a_real_llama_server_goes_through_the_schema(docker_engine, llama_image, tiny_model):
    with serving.engine_container(docker_engine.host, llama_image, tiny_model) as url:
        look = EnginesLook(MetricsSettings(), time.monotonic)
        facts = (EngineFacts("chat", "llamacpp", "ready", metrics_url=f"{url}/metrics"),)
        first = look.look(facts)["engines"]["chat"]
        assert (first["running"], first["waiting"]) == (0.0, 0.0)
        serving.complete(url, tokens=8)
        second = wait_until(
            lambda: (
                (found := look.look(facts)["engines"]["chat"])["generated_tokens_total"]
                > first["generated_tokens_total"]
                and found
            ),
            timeout_s=20,
            what="its tokens",
        )
        assert second["prompt_tokens_total"] > first["prompt_tokens_total"]
        assert second["generated_tokens_per_s"] > 0
        assert set(second) <= set(ROOMS["engines"].figures)


# -- Prometheus -----------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_real_prometheus_scrapes_the_page_and_its_rules_hold():
    rules = Path(__file__).parents[2] / "docs" / "prometheus" / "rules.yml"
    with Bench() as bench:
        snapshot = whole()
        bench.tell(EnginesChanged(()), Put("snapshot", {"at": time.time(), **snapshot}))
        wait_until(lambda: "mosalama_gpu" in bench.get("/metrics")[1], timeout_s=10, what="the page")
        assert promtool("check", "metrics", text=bench.get("/metrics")[1]).returncode == 0
        with Prometheus(bench.page.removeprefix("http://"), rules) as prometheus:
            wait_until(lambda: prometheus.ask("mosalama_gpu_clock_sm_hertz"), timeout_s=30, what="a scrape")
            (up,) = prometheus.ask("up")
            assert up["value"][1] == "1"
            (clock,) = prometheus.ask("mosalama_gpu_clock_sm_hertz")
            assert (clock["metric"]["uuid"], float(clock["value"][1])) == ('a"b\\c\nd', 2e6)
            assert prometheus.ask('{__name__="mosalama_engine_requests_by_result_total"}')
            (lost,) = wait_until(
                lambda: prometheus.ask('ALERTS{alertname="MosalamaDiskFull"}'), timeout_s=60, what="a rule that holds"
            )
            assert lost["metric"]["alertstate"] in {"pending", "firing"}


def test_threads_that_ask_at_once_get_whole_pages():
    with Bench() as bench:
        bench.tell(Put("snapshot", {"at": time.time(), **whole()}))
        wait_until(lambda: "mosalama_gpu" in bench.get("/metrics")[1], timeout_s=10, what="the page")
        pages = []
        threads = [threading.Thread(target=lambda: pages.append(bench.get("/metrics")[1])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(pages)) == 1


# -- memory that ran out --------------------------------------------------------------------------------------

HUNGRY = "sleep 3; tail /dev/zero; sleep 100000"


def test_a_program_that_the_kernel_kills_in_a_container_that_lives_on_is_one_alert(docker_engine, kept):
    """Docker calls such a container well: its first process lives. The group's own counter knows better."""
    command = ["/bin/busybox", "sh", "-c", HUNGRY]
    with docker_engine.client() as client, idle_containers(client, 1, command, mem_limit=48 << 20) as (one,):
        engine = EngineFacts("chat", "vllm", "ready", container_id=one.id, pid=one.attrs["State"]["Pid"])
        look, signals, memory, told = (
            ContainersLook(Groups(kept), time.monotonic),
            Signals(MetricsSettings(), 0.0),
            Memory(),
            [],
        )
        signals.engines_are((engine,), 0.0)
        host, now_s = HostLook(kept, time.monotonic), 0.0

        def of_machine():
            return int(re.search(r"\noom_kill (\d+)", Path("/proc/vmstat").read_text())[1])

        def killed():
            nonlocal now_s, memory
            before, ours, after = of_machine(), host.flow()["oom_kills"], of_machine()
            assert before <= ours <= after, "a kill of the kernel is counted at the next look"
            now_s += 5.0
            signals.snapshot_is(Snapshot(1.0, **look.look((engine,))), now_s)
            memory, new = step(Rules(DEFAULT_RULES), memory, signals.samples(now_s, {"engine"}), Moment(now_s, now_s))
            told.extend(new)
            return told

        wait_until(killed, timeout_s=40, what="the kernel's kill")
        one.reload()
        assert one.status == "running"
        for _ in range(3):
            killed()
        assert [(alert.rule, alert.subject, alert.severity, alert.state) for alert in told] == [
            ("engine_oom", "chat", "critical", "firing")
        ]
        for _ in range(15 * 60 // 5 + 2):
            killed()
        assert [alert.state for alert in told] == ["firing", "resolved"]
