"""LoRA adapters beside a model, and ranks of an engine across servers that take no requests."""

import json
import urllib.request

import pytest

from actors.engines.errors import RefusedError
from actors.engines.kinds.base import Adapter, Machine, ModelFiles
from actors.engines.kinds.table import known_kinds
from actors.engines.policy import check_spec
from actors.engines.replica import weights
from config.policy import PolicySettings
from protocol.messages.commands import EngineStart, EngineStop
from protocol.messages.engine_spec import EngineSpec, Lora
from protocol.messages.model_source import ModelSource
from tests.actors.engines.bench import Bench
from tests.actors.engines.folders import Folders
from tests.bed import python_image, tiny_gguf, tiny_hf
from tests.bed.processes import wait_until
from tests.bed.stand_ins.images import BY_KIND

pytestmark = pytest.mark.timeout(120)
BASE, TONE, LAW = "hf://org/tiny", "hf://org/tone", "hf://org/law"
MACHINE = Machine(2.0, 1 << 34)


def loras(*uris):
    return tuple(Lora(name=uri.rpartition("/")[2], source=ModelSource(uri=uri)) for uri in uris)


def spec(kind="vllm", **fields):
    return EngineSpec(**({"kind": kind, "image": "x/y:z", "model": ModelSource(uri=BASE)} | fields))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    for name, kind in (("tiny", "model"), ("tone", "lora"), ("law", "lora")):
        tiny_gguf.write(root / name / f"{name}.gguf", kind).chmod(0o644)
        (root / name).chmod(0o755)
    (root / "law" / "adapter_config.json").write_text('{"r": 24}')
    for folder in (root, *root.parents[:2]):
        folder.chmod(0o755)
    return {uri: root / uri.rpartition("/")[2] for uri in (BASE, TONE, LAW)}


# -- adapters --------------------------------------------------------------------------------------------------


def test_an_adapter_is_mounted_read_only_and_is_in_the_engine(tmp_path, docker_engine, llama_image, folders, label):
    models = Folders(folders)
    bench = Bench(tmp_path, docker_engine.host, llama_image, models, label)
    try:
        wanted = bench.spec(loras=loras(TONE))
        assert bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=wanted))).state == "done"
        facts = bench.wait(lambda facts: facts.state == "ready", "ready")
        with urllib.request.urlopen(f"{facts.endpoint}/lora-adapters", timeout=10) as answer:
            assert [one["path"] for one in json.load(answer)] == ["/models/adapters/tone/tone.gguf"]
        with docker_engine.client() as client:
            mounts = client.api.inspect_container(facts.container_id)["Mounts"]
        assert {(one["Destination"], one["RW"]) for one in mounts} == {
            ("/models/model", False),
            ("/models/adapters/tone", False),
        }
        assert set(models.leases) == {"chat", "chat+lora0"}
        assert bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=0.0))).state == "done"
        assert not models.leases
    finally:
        bench.close()


def test_each_adapter_is_leased_and_what_a_newer_spec_lacks_is_given_back(folders):
    models = Folders(folders)
    both = weights.lease(models, spec(loras=loras(TONE, LAW)), "chat")
    assert models.leases == {"chat": BASE, "chat+lora0": TONE, "chat+lora1": LAW}
    assert [(one.name, one.rank) for one in both.files().adapters] == [("tone", None), ("law", 24)]
    weights.lease(models, spec(loras=loras(LAW)), "chat+next")
    weights.move(models, "chat", "chat+last")
    weights.move(models, "chat+next", "chat")
    assert models.leases["chat+lora0"] == LAW
    weights.release(models, "chat+last")
    assert models.leases == {"chat": BASE, "chat+lora0": LAW}
    weights.lease(models, spec(), "chat")
    assert models.leases == {"chat": BASE}
    with pytest.raises(RefusedError, match="adapter none: hf://org/none is not on this machine"):
        weights.lease(models, spec(loras=loras("hf://org/none")), "chat")


def test_a_rank_of_an_adapter_is_told_to_vllm_as_one_that_it_takes():
    files = ("adapter_config.json", "adapter_model.safetensors")
    model = ModelFiles("/m", ("m.safetensors",), 1, (Adapter("tone", files, 24), Adapter("law", files)))
    argv = known_kinds()["vllm"].launch(spec(), model, MACHINE).argv
    assert argv[argv.index("--max-lora-rank") + 1] == "32"
    assert argv[argv.index("--max-loras") + 1] == "2"


@pytest.mark.parametrize(
    ("kind", "adapters", "words"),
    [
        ("llamacpp", (Adapter("a", ("a.gguf",)), Adapter("b", ("b.gguf",))), "takes one adapter: it lays each over"),
        ("llamacpp", (Adapter("a", ("a.safetensors",)),), "has 0 GGUF files"),
        ("vllm", (Adapter("a", ("a.gguf",)),), "of adapter a"),
        ("tgi", (Adapter("a", ("a.safetensors",)),), "of adapter a"),
        ("sglang", (Adapter("a", ()),), "of adapter a"),
    ],
)
def test_an_adapter_that_a_kind_cannot_load_is_refused_with_the_reason(kind, adapters, words):
    model = ModelFiles("/m", ("m.safetensors", "m.gguf"), 1, adapters)
    with pytest.raises(RefusedError, match=words):
        known_kinds()[kind].launch(spec(kind), model, MACHINE)


def test_an_adapter_comes_from_where_models_may_come_from():
    policy = PolicySettings(images=("x/y:z",), sources=("hf://org/*",))
    check_spec(policy, spec(loras=loras(TONE)))
    with pytest.raises(RefusedError, match="hf://evil/tone"):
        check_spec(policy, spec(loras=loras("hf://evil/tone")))


def test_two_adapters_of_one_name_are_refused():
    with pytest.raises(ValueError, match="a name of its own"):
        spec(loras=loras(TONE, TONE))
    with pytest.raises(ValueError, match="a name of its own"):
        spec(loras=loras(TONE), served_name="tone")


# -- ranks -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sglang(tmp_path, tmp_path_factory, docker_engine, label):
    root = tmp_path_factory.mktemp("ranks")
    good = tiny_hf.write(root / "good")
    for folder in (root, *root.parents[:2]):
        folder.chmod(0o755)
    image = python_image.ensure(docker_engine.host, BY_KIND["sglang"])
    made = Bench(tmp_path, docker_engine.host, image, Folders({BASE: good}), label)
    yield made
    made.close()


def test_a_rank_that_takes_no_requests_is_ready_when_it_runs_is_brought_back_and_ends_at_once(sglang):
    nodes = {"nodes": 2, "rank": 1, "head": "10.0.0.1"}
    wanted = spec("sglang", image=sglang.image, multi_node=nodes, memory_bytes=512 << 20, shm_bytes=64 << 20)
    assert sglang.result(sglang.send(1, EngineStart(name="chat", generation=1, spec=wanted))).state == "done"
    first = sglang.wait(lambda facts: facts.state == "ready", "ready")
    assert (first.endpoint, first.metrics_url) == (None, None)
    assert "takes no requests" in first.why
    sglang.containers.signal(first.container_id, "SIGKILL")
    sglang.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "back")
    wait_until(lambda: len(sglang.containers.find(sglang.label)) == 1, timeout_s=20, what="the dead one is removed")
    # Its deadline lies far beyond the time that the result is waited for.
    assert sglang.result(sglang.send(2, EngineStop(name="chat", generation=2, drain_s=600.0))).state == "done"


def test_a_rank_beyond_the_nodes_and_more_parallel_than_all_gpus_are_refused():
    with pytest.raises(ValueError, match="counts from 0"):
        spec(multi_node={"nodes": 2, "rank": 2, "head": "h"})
    with pytest.raises(ValueError, match="more than the GPUs"):
        spec(multi_node={"nodes": 2, "rank": 0, "head": "h"}, gpus={"count": 2}, tensor_parallel=8)
    assert spec(multi_node={"nodes": 2, "rank": 0, "head": "h"}, gpus={"count": 2}, tensor_parallel=4).serves
