import json

import pytest

from actors.engines.errors import RefusedError
from actors.engines.kinds.base import Machine, ModelFiles
from actors.engines.kinds.table import check_features, known_kinds
from tests.actors.engines.golden_requests import CASES, FOLDER, SAFE, body, spec, text

KINDS = known_kinds()
NOBODY = Machine(2.0, 1 << 34)


@pytest.mark.parametrize("name", CASES)
def test_the_request_of_each_kind_and_variant_is_the_golden_one(name):
    file = FOLDER / f"{name}.json"
    assert text(name) == file.read_text(), (
        "look at the difference, then: python -m tests.actors.engines.golden_requests"
    )


@pytest.mark.parametrize("name", CASES)
def test_every_request_is_hardened(name):
    request = body(name)
    host = request["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["IpcMode"] == "private"
    assert all(bind.endswith(":ro") for bind in host["Binds"])
    assert not {"Privileged", "PidMode", "UsernsMode", "CgroupParent", "Runtime", "Sysctls", "NetworkMode"} & set(host)
    assert request["Healthcheck"] == {"Test": ["NONE"]}
    assert all(port["HostIp"] == "127.0.0.1" for ports in host["PortBindings"].values() for port in ports)
    assert any(entry.startswith("NVIDIA_VISIBLE_DEVICES=") for entry in request["Env"])
    assert json.dumps(request)


def test_the_same_spec_has_the_same_hash_and_another_has_another():
    assert body("vllm-cpu")["Labels"]["mosalama.spec"] == body("vllm-cpu")["Labels"]["mosalama.spec"]
    assert body("vllm-cpu")["Labels"]["mosalama.spec"] != body("vllm-rocm")["Labels"]["mosalama.spec"]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("llamacpp", {"tensor_parallel": 2}, "tensor_parallel"),
        ("tgi", {"pipeline_parallel": 2}, "pipeline_parallel"),
        ("llamacpp", {"dtype": "fp16"}, "dtype"),
        ("tgi", {"multi_node": {"nodes": 2, "rank": 1, "head": "h"}}, "multi_node"),
    ],
)
def test_what_a_kind_cannot_do_is_refused_with_the_reason(kind, fields, words):
    with pytest.raises(RefusedError, match=words):
        check_features(KINDS[kind], spec(kind, "a/b:c", SAFE, **fields))


@pytest.mark.parametrize("kind", ["vllm", "tgi", "sglang"])
def test_a_model_in_the_wrong_form_is_refused(kind):
    with pytest.raises(RefusedError, match="safetensors"):
        KINDS[kind].launch(spec(kind, "a/b:c", SAFE), ModelFiles("/m", ("m.gguf",), 1), NOBODY)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (("a.gguf",), "a.gguf"),
        (("b-00002-of-00002.gguf", "b-00001-of-00002.gguf"), "b-00001-of-00002.gguf"),
        (("a.gguf", "b.gguf"), None),
        ((), None),
    ],
)
def test_llama_cpp_takes_the_one_file_that_is_meant(files, wanted):
    kind, model = KINDS["llamacpp"], ModelFiles("/m", files, 1)
    if wanted is None:
        with pytest.raises(RefusedError, match="one GGUF"):
            kind.launch(spec("llamacpp", "a/b:c", SAFE), model, NOBODY)
    else:
        assert f"/models/model/{wanted}" in kind.launch(spec("llamacpp", "a/b:c", SAFE), model, NOBODY).argv
