"""One engine's whole life on a real Docker Engine with a real llama-server."""

import json
import time
import urllib.request
from pathlib import Path

import pytest

from protocol.messages.commands import EngineLogs, EngineRestart, EngineStart, EngineStop
from protocol.messages.model_source import ModelSource
from tests.actors.engines.bench import Bench

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bench(tmp_path, docker_engine, llama_image, models):
    made = Bench(tmp_path, docker_engine.host, llama_image, models, f"test-{time.monotonic_ns()}")
    yield made
    made.close()


def start(bench, number=1, **fields):
    command_id = bench.send(number, EngineStart(name="chat", generation=number, spec=bench.spec(**fields)))
    result = bench.result(command_id)
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def chat(facts):
    body = {"model": "x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{facts.endpoint}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def test_an_engine_starts_serves_dies_comes_back_and_stops(bench):
    first = start(bench)
    assert chat(first)
    bench.containers.signal(first.container_id, "SIGKILL")
    second = bench.wait(lambda facts: facts.state == "ready" and facts.restarts == 1, "back after a kill")
    assert second.container_id != first.container_id
    assert chat(second)
    assert any("exit 137" in attempt for attempt in second.attempts)
    stopped = bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=0.0)))
    assert stopped.state == "done"
    assert not bench.containers.find(bench.label)
    assert not bench.models.leases
    assert {"engine.ready", "engine.died", "engine.stopped"} <= set(bench.events())


def test_the_hardening_is_what_docker_says_too(bench, docker_engine):
    facts = start(bench)
    with docker_engine.client() as client:
        raw = client.api.inspect_container(facts.container_id)
    host = raw["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 4_096
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert not host["Privileged"]
    assert raw["Config"]["User"] == "65532:65532"
    assert [mount["RW"] for mount in raw["Mounts"] if mount["Type"] == "bind"] == [False]


def test_a_new_daemon_adopts_what_runs(bench, tmp_path, docker_engine, llama_image, models):
    first = start(bench)
    bench.close(remove=False)
    again = Bench(tmp_path, docker_engine.host, llama_image, models, bench.label)
    try:
        adopted = again.wait(lambda facts: facts.state == "ready", "adopted")
        assert adopted.container_id == first.container_id
        assert "engine.adopted" in again.events()
    finally:
        again.close()


def test_a_container_that_somebody_removed_is_made_again(bench):
    first = start(bench)
    bench.containers.remove(first.container_id)
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "made again")
    assert chat(second)


def test_a_model_that_cannot_be_read_is_given_up_loudly_and_not_retried(bench, models):
    Path(models.model.directory, "tiny.gguf").write_bytes(b"GGUFnonsense" * 100)
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec())))
    assert result.state == "failed"
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert len(facts.attempts) == 1
    assert facts.next_try_at is not None
    assert "engine.gave_up" in bench.events()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"image": "evil/image:v1"}, "E_POLICY.image"),
        ({"kind": "vllm"}, "E_ENGINE"),
        ({"gpus": {"count": 1}}, "E_POLICY.device"),
        ({"memory_bytes": 1 << 40}, "E_BUSY"),
        ({"image": "absent/image:v1"}, "E_ENGINE"),
        ({"model": ModelSource(uri="hf://org/absent")}, "E_ENGINE"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(bench, fields, code):
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec(**fields))))
    assert result.state == "failed"
    assert result.error.code == code, result.error
    assert result.error.why
    assert not bench.containers.find(bench.label)


def test_what_no_part_of_the_agent_does_is_refused_with_what_to_do_instead(bench):
    result = bench.result(bench.send(1, EngineLogs(name="chat")))  # the logs have an actor of their own, not here
    assert (result.state, result.error.code) == ("failed", "E_UNSUPPORTED")
    assert "engine.logs" in result.error.what
    assert "newer version of the agent" in result.error.do


def test_a022_an_older_generation_is_stale(bench):
    start(bench, 5)
    result = bench.result(bench.send(6, EngineStop(name="chat", generation=4)))
    assert result.error.code == "E_STALE"
    assert bench.facts().state == "ready"


def test_a_restart_by_command_gives_another_container(bench):
    first = start(bench)
    result = bench.result(bench.send(2, EngineRestart(name="chat", generation=1, drain_s=0.0)))
    assert result.state == "done"
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "another")
    assert chat(second)


def test_a_new_generation_that_does_not_run_is_rolled_back(bench):
    first = start(bench)
    broken = bench.spec(image="absent/image:v1")
    result = bench.result(bench.send(2, EngineStart(name="chat", generation=2, spec=broken)))
    assert result.state == "failed"
    back = bench.wait(lambda facts: "generation 2 does not run" in facts.why, "the old one serves on")
    assert (back.state, back.container_id) == ("ready", first.container_id)
    assert chat(back)
    assert "engine.rolled_back" in bench.events()
