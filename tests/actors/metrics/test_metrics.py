"""The host's figures, engine pages, and the actor that puts everything together."""

import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from actors.facts import EngineFacts, EnginesChanged, LinkChanged
from actors.journal.messages import Volatile
from actors.metrics import engine_latency, engine_schema, host, procfs
from actors.metrics.actor import SamplerActor
from actors.metrics.disks_look import file_system
from actors.metrics.engines_look import EnginesLook
from actors.metrics.exposition import Page, PageReader, parse
from actors.metrics.eyes import MachineEyes
from actors.metrics.host_look import HostLook
from actors.metrics.snapshot import Snapshot
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.metrics import MetricsSettings
from tests.bed.processes import wait_until
from tests.fakes.listener import Listener

VLLM = Path(__file__).with_name("vllm_0.32.0.prom")


@pytest.fixture
def kept():
    made = procfs.Kept()
    yield made
    made.close()


def test_memory_is_what_psutil_says(kept):
    ours, theirs = procfs.read_memory(kept), psutil.virtual_memory()
    assert ours["memory.total_bytes"] == theirs.total
    assert abs(ours["memory.available_bytes"] - theirs.available) < 256 << 20


def test_a_file_that_is_not_there_is_none_and_closes(kept):
    assert kept.read("/proc/nothing") is None
    assert procfs.read_loads(kept)[0] >= 0


def test_a_disk_is_what_df_says():
    found = file_system(Path("/tmp"))
    line = subprocess.run(
        ["df", "-B1", "--output=size,avail,ipcent", "/tmp"], capture_output=True, text=True, check=True
    )
    size, free, inodes = line.stdout.splitlines()[1].split()
    assert found["total_bytes"] == int(size)
    assert abs(found["free_bytes"] - int(free)) < 64 << 20
    assert 0 < found["used_share"] < 1
    if inodes.endswith("%"):
        assert abs(found["inodes_used_share"] * 100 - int(inodes[:-1])) <= 1.5


def test_kills_of_the_kernel_are_counted(kept):
    words = Path("/proc/vmstat").read_text().split()
    assert procfs.OomKills().read(kept) == int(words[words.index("oom_kill") + 1])


def test_the_inventory_names_the_machine():
    facts = host.inventory((Path("/tmp"), Path("/tmp/not/there/yet")))
    assert facts["cpu.count"] == os.cpu_count()
    assert facts["memory.total_bytes"] == psutil.virtual_memory().total
    assert facts["disk./tmp/not/there/yet.total_bytes"] == facts["disk./tmp.total_bytes"]


def oracle(text):
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), repr(float(sample.value)))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def ours(text):
    return sorted((name, tuple(sorted(labels.items())), repr(value)) for name, labels, value in parse(text))


def test_the_recorded_page_of_vllm_is_read_as_the_client_library_reads_it():
    text = VLLM.read_text()
    assert ours(text) == oracle(text)
    assert len(ours(text)) > 200


LABEL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)


@given(st.dictionaries(st.sampled_from(["a", "model_name", "le"]), LABEL, max_size=3), st.floats(-1e9, 1e9))
def test_any_label_value_is_read_as_the_client_library_reads_it(labels, value):
    def escaped(text):
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    page = f"# TYPE m gauge\nm{{{inner}}} {value!r}\n"
    assert ours(page) == oracle(page)


def test_lines_that_are_no_samples_are_left_out():
    assert list(parse('# x\n\nbroken{a="\nno_value\nname notanumber\ngood 1\n')) == [("good", {}, 1.0)]


def test_the_vllm_page_becomes_the_one_schema():
    page = engine_schema.read_page(parse(VLLM.read_text()))
    assert {"running", "waiting", "kv_usage", "prompt_tokens_total", "generated_tokens_total"} <= set(page)


def test_series_are_merged_by_rule_and_ranks_are_not_counted_twice():
    page = (
        'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_running{engine="1"} 3\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.7\n'
        'sglang:num_queue_reqs{tp_rank="0"} 4\nsglang:num_queue_reqs{tp_rank="1"} 4\n'
    )
    assert engine_schema.read_page(parse(page)) == {"running": 5.0, "waiting": 4.0, "kv_usage": 0.7}


def test_rates_come_from_deltas_and_never_from_a_reset():
    first, second = {"generated_tokens_total": 100.0}, {"generated_tokens_total": 150.0}
    assert engine_schema.rates(first, second, 5.0) == {"generated_tokens_per_s": 10.0}
    assert engine_schema.rates(second, first, 5.0) == {}


def test_a_page_that_is_read_again_and_again_is_read_as_at_first():
    text = VLLM.read_text()
    names = engine_schema.names_of(engine_schema.FIELDS) | engine_latency.SERIES
    reader = PageReader(names)
    wanted = [sample for sample in parse(text) if sample[0] in names]
    assert reader.read(text) == wanted
    assert reader.read(text) == wanted
    assert reader.read('vllm:num_requests_running{engine="0"} x\nvllm:num_requests_waiting 3 17\n') == [
        ("vllm:num_requests_waiting", {}, 3.0)
    ]


def test_requests_are_told_by_how_they_ended():
    page = (
        'vllm:request_success_total{finished_reason="stop"} 3\nvllm:request_success_total{finished_reason="abort"} 1\n'
    )
    found = engine_schema.read_page(parse(page))
    assert (found["requests_total"], found["requests.stop_total"], found["requests.abort_total"]) == (4.0, 3.0, 1.0)


class Pages:
    """Answers for engines by their address; None is no answer."""

    def __init__(self):
        self.pages, self.asked = {}, []

    def __call__(self, urls, timeout_s):
        self.asked += urls
        return lambda: [Page.of(self.pages[url].encode()) if url in self.pages else None for url in urls]


def ready(name):
    return EngineFacts(name, "vllm", "ready", metrics_url=f"http://{name}")


def test_names_from_the_settings_come_first():
    pages = Pages()
    pages.pages["http://a"] = "my_queue 4\nvllm:num_requests_waiting 1\n"
    look = EnginesLook(MetricsSettings(engine_names={"waiting": ("my_queue",)}), lambda: 0.0, pages)
    assert look.look((ready("a"),))["engines"]["a"]["waiting"] == 4.0


def test_an_engine_that_does_not_answer_has_no_invented_figures_and_is_asked_last():
    pages, now = Pages(), [0.0]
    pages.pages |= {"http://b": "vllm:generation_tokens_total 10\n"}
    look = EnginesLook(MetricsSettings(), lambda: now[0], pages)
    engines = (ready("a"), ready("b"))
    assert look.look(engines)["engines"]["a"] == {"state": "ready", "restarts": 0, "page_missing": True}
    now[0] += 5
    pages.pages["http://b"] = "vllm:generation_tokens_total 60\n"
    assert look.look(engines)["engines"]["b"]["generated_tokens_per_s"] == 10.0
    assert pages.asked == ["http://a", "http://b", "http://b", "http://a"]


def test_the_page_of_another_program_is_learned_at_once_however_alike_it_looks():
    pages = Pages()
    look = EnginesLook(MetricsSettings(), lambda: 0.0, pages)
    pages.pages["http://a"] = "vllm:num_requests_running 7\nvllm:unwanted 5\n"
    assert look.look((replace(ready("a"), container_id="one"),))["engines"]["a"]["running"] == 7.0
    pages.pages["http://a"] = "vllm:num_requests_running 8\nvllm:num_requests_waiting 3\n"
    found = look.look((replace(ready("a"), container_id="two"),))["engines"]["a"]
    assert (found["running"], found["waiting"]) == (8.0, 3.0)


def test_an_engine_that_is_not_ready_is_not_asked():
    pages = Pages()
    look = EnginesLook(MetricsSettings(), lambda: 0.0, pages)
    found = look.look((EngineFacts("a", "vllm", "loading", restarts=2, metrics_url="http://a"),))["engines"]["a"]
    assert (found, pages.asked) == ({"state": "loading", "restarts": 2}, [])


def test_shares_and_rates_of_the_host_need_two_looks(kept):
    now = [0.0]
    look = HostLook(kept, lambda: now[0])
    first = look.now() | look.flow()
    assert "cpu.busy" not in first
    assert first["net.received_bytes_total"] >= 0
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass  # a tick of the processor's clock has to pass
    now[0] += 1.0
    second = look.now() | look.flow()
    assert 0.0 < second["cpu.busy"] <= 1.0
    assert second["cpu.busy"] == pytest.approx(
        second["cpu.user"] + second["cpu.system"] + second["cpu.steal"], abs=0.001
    )
    assert second["disk.written_bytes_per_s"] >= 0


def test_a_file_larger_than_the_first_read_is_read_whole(kept, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"x" * 100_000)
    assert len(kept.raw(str(file))) == 100_000
    kept.forget_below(str(tmp_path))
    assert kept._open == {}


class Bench:
    """The actor in a real system; every part real but the link."""

    def __init__(self, eyes=None, **settings):
        self.link, self.published, self.seen = Listener("/link"), [], threading.Event()
        intervals = dict.fromkeys(
            ("host_interval_s", "container_interval_s", "engine_interval_s", "report_interval_s"),
            0.5,
        )
        self.settings = MetricsSettings(**(intervals | {"gpu": False} | settings))
        self.eyes = eyes or MachineEyes(self.settings, {"models": Path("/tmp"), "state": Path("/tmp")})

        def make():
            return SamplerActor(
                settings=self.settings, eyes=self.eyes, link=self.link, publish=self.published.append, wall=time.time
            )

        self.system = System(SupervisorSpec(children=(ChildSpec("metrics", make),)))
        self.system.start()
        self.handle = self.system.handle("/root/metrics")

    def until(self, condition):
        def look():
            found = self.published[-1] if self.published else None
            return found if found and condition(found) else None

        return wait_until(look, timeout_s=15, what="the figures")


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.system.stop()


def test_every_collector_has_its_part_and_its_health(bench):
    bench.handle.tell(EnginesChanged((EngineFacts("chat", "vllm", "starting"),)))
    found = bench.until(lambda one: set(one.collectors) == {"host", "containers", "engines", "disks"} and one.engines)
    assert found.host["memory.total_bytes"] == psutil.virtual_memory().total
    assert found.host["net.received_bytes_total"] >= 0
    assert found.disks["/tmp"]["roles"] == "models, state"
    assert found.engines["chat"]["state"] == "starting"
    assert found.agent["threads"] >= 4
    assert found.collectors["host"]["interval_s"] == 0.5
    assert found.collectors["host"]["error"] == ""
    later = bench.until(lambda one: one.host is not found.host and one.disks is found.disks)
    assert isinstance(later, Snapshot), "what was not looked at again is the same object"


def test_reports_go_to_a_master_that_is_there(bench):
    bench.handle.tell(LinkChanged("connected"))
    first = bench.link.wait(Volatile)
    assert first.key == "report"
    assert first.message.full
    assert "host.memory.total_bytes" in first.message.values
    assert "collector.host.errors_total" in first.message.values
    second = bench.link.wait(Volatile, lambda told: not told.message.full)
    assert "host.memory.total_bytes" not in second.message.values


def test_what_nobody_heard_comes_before_what_is_now(bench):
    bench.until(lambda one: one.agent.get("spool_share", 0.0) > 0)
    bench.handle.tell(LinkChanged("connected"))
    kept = bench.link.wait(Volatile)
    assert kept.key.startswith("report.1")
    assert kept.message.full
    assert bench.link.wait(Volatile, lambda told: told.key == "report").message.full


def hanging(gate):
    """A file system that does not answer until the gate opens."""

    def ask(directory):
        if directory == Path("/var"):
            gate.wait(30)
        return {"device": None, "free_bytes": 1}

    return ask


def test_a_file_system_that_hangs_holds_up_no_other_and_comes_back():
    gate = threading.Event()
    settings = MetricsSettings(gpu=False, disk_interval_s=0.5, disk_timeout_s=0.5)
    eyes = MachineEyes(settings, {"models": Path("/var"), "state": Path("/tmp")}, ask=hanging(gate))
    bench = Bench(eyes, disk_interval_s=0.5, disk_timeout_s=0.5)
    try:
        found = bench.until(lambda one: one.disks.get("/var", {}).get("hung"))
        assert found.disks["/tmp"]["free_bytes"] == 1
        gate.set()
        assert bench.until(lambda one: not one.disks.get("/var", {"hung": True})["hung"])
    finally:
        gate.set()
        bench.system.stop()


def test_a_driver_that_hangs_in_the_beat_holds_up_no_other_and_comes_back(machine):
    bench = Bench(gpu=True, gpu_interval_s=0.2)
    try:
        bench.until(lambda one: len(one.gpus) == 2)
        wait_until(lambda: in_beat("gpu"), timeout_s=30, what="the GPUs' looks are in the beat")
        machine.gpu("all", hang=1)
        hung_at = wait_until(lambda: not_looked_at(bench, "gpu", 1.0), timeout_s=20, what="the driver hangs")
        bench.until(lambda one: one.collectors["host"]["at"] > hung_at)
        machine.gpu("all", hang=0)
        bench.until(lambda one: one.collectors["gpu"]["at"] > hung_at)
    finally:
        machine.gpu("all", hang=0)
        bench.system.stop()
        machine.xid(-1, 79)  # ends the wait for events, which nobody waits for


def in_beat(name):
    """Whether the thread that was begun for it has ended, so that the beat looks."""
    return not any(thread.name.endswith(f":{name}") for thread in threading.enumerate())


def not_looked_at(bench, name, seconds):
    """The time, when its last look is older than that."""
    now = time.time()
    return now if now - bench.published[-1].collectors[name]["at"] > seconds else None
