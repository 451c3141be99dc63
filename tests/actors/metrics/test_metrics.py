import os
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from actors.facts import EngineFacts, EnginesChanged
from actors.journal.messages import Volatile
from actors.metrics import cgroup, engine_schema, host, procfs
from actors.metrics.actor import SamplerActor
from actors.metrics.exposition import parse
from actors.metrics.report import Reporter
from actors.metrics.sampler import Sampled, Sampler, Snapshot
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.metrics import MetricsSettings
from tests.fakes.listener import Listener

VLLM = Path(__file__).with_name("vllm_0.32.0.prom")


@pytest.fixture
def kept():
    made = procfs.Kept()
    yield made
    made.close()


def test_memory_is_what_psutil_says(kept):
    ours, theirs = procfs.read_memory(kept), psutil.virtual_memory()
    assert ours["total"] == theirs.total
    assert abs(ours["available"] - theirs.available) < 256 << 20


def test_counters_are_what_psutil_says(kept):
    before = psutil.net_io_counters(pernic=True)
    ours = procfs.read_counters(kept, 0.0)
    after = psutil.net_io_counters(pernic=True)
    low = sum(count.bytes_recv for name, count in before.items() if name != "lo")
    high = sum(count.bytes_recv for name, count in after.items() if name != "lo")
    assert low <= ours.received_bytes <= high
    assert 0 < ours.busy_s < ours.total_s


def test_a_file_that_is_not_there_is_none_and_closes(kept):
    assert kept.read("/proc/nothing") is None
    assert procfs.read_load(kept) >= 0


def test_a_disk_is_what_df_says():
    found = host.disk(Path("/tmp"))
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
    assert procfs.read_oom_kills(kept) == int(words[words.index("oom_kill") + 1])


def test_our_own_group_is_read(kept):
    usage = cgroup.read_usage(kept, os.getpid())
    assert usage is not None
    assert cgroup.read_usage(kept, 2**22 - 1) is None


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


def test_a_report_carries_changes_and_regularly_everything():
    reporter = Reporter(3)
    reports = [reporter.make(n, values) for n, values in enumerate([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {}, {"a": 1}])]
    assert [(report.full, report.values) for report in reports] == [
        (True, {"a": 1, "b": 2}),
        (False, {"b": 3}),
        (False, {}),
        (True, {"a": 1}),
    ]


def test_an_engine_that_does_not_answer_has_no_invented_figures():
    facts = EngineFacts("chat", "vllm", "ready", metrics_url="http://127.0.0.1:9/metrics")
    sampler = Sampler(MetricsSettings(page_timeout_s=0.2), ())
    snapshot = sampler.sample((facts,), 1.0)
    sampler.close()
    assert snapshot.engines["chat"] == {"state": "ready", "restarts": 0, "page_missing": True}
    assert "running" not in snapshot.flat()


def test_rates_of_the_host_need_two_looks():
    sampler = Sampler(MetricsSettings(gpu=False), (Path("/tmp"),))
    first = sampler.sample((), time.time())
    second = sampler.sample((), time.time())
    sampler.close()
    assert "cpu.busy" not in first.host
    assert "net.received_bytes_per_s" in second.host or "cpu.busy" not in second.host
    assert first.disks["/tmp"]["free_bytes"] > 0
    assert "disk./tmp.used_share" in first.flat()


def test_the_sampler_publishes_and_reports():
    link, published, seen = Listener("/link"), [], threading.Event()

    def publish(snapshot):
        published.append(snapshot)
        seen.set()

    def make():
        return SamplerActor(
            settings=MetricsSettings(host_interval_s=0.5, engine_interval_s=0.5, report_interval_s=0.5, gpu=False),
            directories=(),
            link=link,
            publish=publish,
            wall=time.time,
        )

    system = System(SupervisorSpec(children=(ChildSpec("metrics", make),)))
    system.start()
    try:
        system.handle("/root/metrics").tell(EnginesChanged((EngineFacts("chat", "vllm", "starting"),)))
        assert seen.wait(10)
        report = link.wait(Volatile).message
        assert report.full
        assert "host.memory.total_bytes" in report.values
        assert isinstance(published[0], Snapshot)
        assert Sampled(published[0]).snapshot is published[0]
    finally:
        system.stop()
