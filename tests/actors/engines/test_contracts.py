"""Kinds that cannot be had here, on real Docker with stand-ins that keep to what their sources say of their edges."""

import json
import shutil
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.metrics.engine_schema import read_page
from actors.metrics.exposition import parse
from protocol.messages.commands import EngineStart, EngineStop
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from tests.actors.engines.bench import Bench
from tests.actors.engines.folders import Folders
from tests.bed import python_image, tiny_hf
from tests.bed.processes import wait_until
from tests.bed.stand_ins.images import BY_KIND

pytestmark = pytest.mark.timeout(120)
EACH = pytest.mark.parametrize("bench", sorted(BY_KIND), indirect=True)
GOOD, STRANGE, EMPTY = "hf://org/tiny", "hf://org/strange", "hf://org/empty"
ODD = {"tgi": "TGI_STAND_IN", "sglang": "SGLANG_STAND_IN"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("contracts")
    good = tiny_hf.write(root / "good")
    strange = Path(shutil.copytree(good, root / "strange"))
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps(config | {"model_type": "riddle"}))
    for folder in (root, *root.parents[:2]):
        folder.chmod(0o755)
    return Folders({GOOD: good, STRANGE: strange})


@pytest.fixture
def bench(request, tmp_path, docker_engine, models):
    image = python_image.ensure(docker_engine.host, BY_KIND[request.param])
    made = Bench(tmp_path, docker_engine.host, image, models, f"test-{time.monotonic_ns()}")
    made.kind = request.param
    yield made
    made.close()


def spec(bench, odd="", **fields):
    given = {"kind": bench.kind, "image": bench.image, "model": ModelSource(uri=GOOD), "cpus": 1.0}
    given |= {"memory_bytes": 512 << 20, "shm_bytes": 64 << 20, "restart": {"backoff_min_s": 0.1, "attempts": 1}}
    return EngineSpec(**(given | {"env": {ODD[bench.kind]: odd} if odd else {}} | fields))


def send(bench, odd="", **fields):
    return bench.send(1, EngineStart(name="chat", generation=1, spec=spec(bench, odd, **fields)))


def ready(bench, odd="", **fields):
    result = bench.result(send(bench, odd, **fields))
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def ask(facts):
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(
        f"{facts.endpoint}/v1/chat/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def figures(facts):
    with urllib.request.urlopen(facts.metrics_url, timeout=30) as answer:
        return read_page(parse(answer.read().decode()))


@EACH
def test_it_loads_serves_is_measured_and_stops_cleanly(bench):
    command_id = send(bench, "load=1")
    bench.wait(lambda facts: facts.state == "loading", "loading")
    assert bench.result(command_id).state == "done"
    facts = bench.wait(lambda facts: facts.state == "ready", "ready")
    assert ask(facts) == "four words of it"
    seen = wait_until(lambda: (page := figures(facts))["running"] == 0 and page, timeout_s=10, what="an idle page")
    assert seen["generated_tokens_total"] % 4 == 0
    assert seen["generated_tokens_total"] >= 4
    assert seen["waiting"] == 0
    stopped = bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=20.0)))
    assert stopped.state == "done"
    assert "engine.died" not in bench.events()
    assert not bench.containers.find(bench.label)


@EACH
def test_a_request_that_is_open_is_answered_before_it_ends(bench):
    facts = ready(bench, "work=2")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, facts)
        wait_until(lambda: figures(facts)["running"] == 1, timeout_s=10, what="the request runs")
        stopped = bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=30.0)))
        assert answer.result(30) == "four words of it"
    assert stopped.state == "done"


@pytest.mark.parametrize(
    ("bench", "odd", "fields", "cause"),
    [
        ("tgi", "oom", {}, "host_out_of_memory"),
        ("tgi", "", {"model": ModelSource(uri=STRANGE)}, "unsupported_model"),
        ("tgi", "", {"tensor_parallel": 2}, "no_gpu"),
        ("sglang", "small", {}, "kv_cache_too_small"),
    ],
    indirect=["bench"],
)
def test_what_it_says_when_it_fails_is_understood(bench, odd, fields, cause):
    result = bench.result(send(bench, odd, **fields))
    assert result.state == "failed"
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert facts.cause == cause, facts.attempts


@pytest.mark.parametrize("bench", ["tgi"], indirect=True)  # the other one queues without a limit
def test_an_overload_is_an_answer_and_not_a_fault(bench):
    facts = ready(bench, "work=1", parallel=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, facts)
        wait_until(lambda: figures(facts)["running"] == 1, timeout_s=10, what="the request runs")
        with pytest.raises(urllib.error.HTTPError, match="429"):
            ask(facts)
        assert first.result(30)
    assert figures(facts)["requests_failed_total"] == 1
    assert bench.facts().state == "ready"


@pytest.mark.parametrize("bench", ["sglang"], indirect=True)  # the other one's door is closed until it is ready
def test_health_that_is_never_good_is_a_start_that_took_too_long(bench):
    result = bench.result(send(bench, "stuck", probes={"start_timeout_s": 4.0}))
    assert result.state == "failed"
    assert bench.wait(lambda facts: facts.state == "gave_up", "given up").cause == "start_timeout"
