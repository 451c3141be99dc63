"""The vLLM adapter against a real vLLM server (CPU) in a hardened container: `make test-vllm`."""

import json
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from actors.metrics.engine_schema import read_page
from actors.metrics.exposition import parse
from protocol.messages.commands import EngineRestart, EngineStart, EngineStop
from protocol.messages.engine_spec import EngineSpec, Lora
from protocol.messages.model_source import ModelSource
from tests.actors.engines.bench import Bench
from tests.actors.engines.folders import Folders
from tests.bed import tiny_hf

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
READY_S = 300.0
"""About 30 s on a quiet machine with two cores; the rest is for a busy one."""
GOOD, DYING, BROKEN, TONE = "hf://org/tiny", "hf://org/dying", "hf://org/broken", "hf://org/tone"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("vllm")
    good = tiny_hf.write(root / "good")
    # A worker of this vLLM refuses a head of 16 at its first step, not at its start: a real engine that dies serving.
    dying = Path(shutil.copytree(good, root / "dying"))
    _edit(dying / "config.json", num_attention_heads=16, num_key_value_heads=8, head_dim=16)
    broken = Path(shutil.copytree(good, root / "broken"))
    shard = broken / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    tone = tiny_hf.write_lora(root / "tone")
    for folder in (root, *root.parents[:2]):
        folder.chmod(0o755)  # the engine's user reads it
    return Folders({GOOD: good, DYING: dying, BROKEN: broken, TONE: tone})


def _edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


class VllmBench(Bench):
    """The engines' part of the tree; its specs are vLLM's."""

    def spec(self, **fields):
        given = {"kind": "vllm", "image": self.image, "model": ModelSource(uri=GOOD), "served_name": "tiny"}
        given |= {"variant": "cpu", "context_length": 512, "parallel": 8, "dtype": "bfloat16"}
        given |= {"memory_bytes": 6 << 30, "shm_bytes": 1 << 30, "extra_args": ("--enforce-eager",)}
        given |= {"restart": {"backoff_min_s": 0.1, "attempts": 2}, "probes": {"start_timeout_s": READY_S}}
        return EngineSpec(**(given | fields))

    def result(self, command_id, timeout_s=READY_S):
        return super().result(command_id, timeout_s)

    def wait(self, condition, what, timeout_s=READY_S):
        return super().wait(condition, what, timeout_s)


@pytest.fixture
def bench(tmp_path, docker_engine, vllm_image, models):
    label = f"test-{time.monotonic_ns()}"
    made = VllmBench(tmp_path, docker_engine.host, vllm_image, models, label, extra_args=("--enforce-eager",))
    yield made
    made.close()


def start(bench, number=1, **fields):
    result = bench.result(bench.send(number, EngineStart(name="chat", generation=number, spec=bench.spec(**fields))))
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def complete(endpoint, *, model="tiny", tokens=8, timeout_s=120):
    body = {"model": model, "prompt": "hello", "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(
        f"{endpoint}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return json.load(answer)


class Stream:
    """A streamed completion that is open: its first words have come, the rest is read by `finish`."""

    CHOICES, TOKENS = 2, 400

    def __init__(self, endpoint):
        body = {"model": "tiny", "prompt": "hello", "max_tokens": self.TOKENS, "n": self.CHOICES, "ignore_eos": True}
        body |= {"temperature": 1.0, "stream": True, "stream_options": {"include_usage": True}}
        request = urllib.request.Request(
            f"{endpoint}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        self._answer = urllib.request.urlopen(request, timeout=120)
        assert self._answer.readline().startswith(b"data: ")

    def finish(self):
        """How many tokens came in all; an answer that was cut has no such line."""
        with self._answer:
            lines = [line.removeprefix(b"data: ").strip() for line in self._answer if line.startswith(b"data: ")]
        assert lines[-1] == b"[DONE]"
        return json.loads(lines[-2])["usage"]["completion_tokens"]


def figures(facts):
    with urllib.request.urlopen(facts.metrics_url, timeout=30) as answer:
        return read_page(parse(answer.read().decode()))


def test_a_real_vllm_starts_speaks_is_measured_drains_and_stops(bench, docker_engine):
    facts = start(bench)
    before = figures(facts)  # the token that showed it ready is in them
    answer = complete(facts.endpoint)
    assert answer["usage"]["completion_tokens"] == 8
    assert answer == {**complete(facts.endpoint), "id": answer["id"], "created": answer["created"]}  # greedy: the same
    seen = figures(facts)
    assert seen["generated_tokens_total"] - before["generated_tokens_total"] == 16
    assert seen["requests_total"] - before["requests_total"] == 2
    assert seen["running"] == seen["waiting"] == 0
    assert 0 <= seen["kv_usage"] < 1
    with docker_engine.client() as client:
        raw = client.api.inspect_container(facts.container_id)
    assert raw["HostConfig"]["CapDrop"] == ["ALL"]
    assert raw["HostConfig"]["ReadonlyRootfs"]
    # A request that is open when the stop comes is answered whole before the container ends.
    stream = Stream(facts.endpoint)
    command_id = bench.send(2, EngineStop(name="chat", generation=2, drain_s=60.0))
    assert stream.finish() == Stream.CHOICES * Stream.TOKENS
    assert bench.result(command_id).state == "done"
    assert not bench.containers.find(bench.label)
    assert not bench.models.leases


def test_an_adapter_is_served_by_its_own_name_beside_the_model(bench):
    adapter = Lora(name="tone", source=ModelSource(uri=TONE))
    facts = start(bench, loras=(adapter,))
    plain, toned = (complete(facts.endpoint, model=name) for name in ("tiny", "tone"))
    assert (plain["model"], toned["model"]) == ("tiny", "tone")
    assert plain["choices"][0]["text"] != toned["choices"][0]["text"], "the adapter is not applied"
    assert len(bench.models.leases) == 2, "the model's and the adapter's"
    assert bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=5.0))).state == "done"
    assert not bench.models.leases


def test_a_broken_model_is_named_and_not_tried_again(bench):
    spec = bench.spec(model=ModelSource(uri=BROKEN))
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=spec)))
    assert result.state == "failed"
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert facts.cause == "corrupt_file", facts.attempts
    assert len(facts.attempts) == 1
    assert "engine.gave_up" in bench.events()


def test_an_argument_it_does_not_know_is_named(bench):
    spec = bench.spec(dtype="float99")
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=spec)))
    assert result.state == "failed"
    assert bench.wait(lambda facts: facts.state == "gave_up", "given up").cause == "bad_flag"


def test_an_engine_that_dies_at_its_first_token_never_counts_as_ready(bench):
    spec = bench.spec(model=ModelSource(uri=DYING), restart={"backoff_min_s": 0.1, "attempts": 1})
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=spec)))
    assert result.state == "failed"
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert facts.cause == "engine_dead", facts.attempts
    assert "engine.ready" not in bench.events()


def test_an_update_takes_its_place_and_one_that_does_not_run_is_rolled_back(bench):
    first = start(bench)
    result = bench.result(bench.send(2, EngineStart(name="chat", generation=2, spec=bench.spec(context_length=256))))
    assert result.state == "done", result
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "updated")
    assert complete(second.endpoint)["usage"]["completion_tokens"] == 8
    spec = bench.spec(model=ModelSource(uri=BROKEN))
    failed = bench.result(bench.send(3, EngineStart(name="chat", generation=3, spec=spec)))
    assert failed.state == "failed"
    back = bench.wait(
        lambda facts: facts.state == "ready" and "engine.rolled_back" in bench.events(), "the last good one is back"
    )
    assert complete(back.endpoint)["usage"]["completion_tokens"] == 8


def test_a_restart_by_command_waits_for_the_request_in_flight(bench):
    first = start(bench)
    stream = Stream(first.endpoint)
    command_id = bench.send(2, EngineRestart(name="chat", generation=1, drain_s=60.0))
    assert stream.finish() == Stream.CHOICES * Stream.TOKENS
    assert bench.result(command_id).state == "done"
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "again")
    assert complete(second.endpoint)["usage"]["completion_tokens"] == 8
