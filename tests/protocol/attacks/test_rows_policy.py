"""What a stolen command key still cannot do: rows of the catalogue against closed messages and the machine's policy.

Nothing here reaches Docker: what is refused is refused before anything is made.
"""

import pytest

from actors.engines.errors import RefusedError
from actors.engines.leases import choose
from actors.engines.policy import check_image_env, check_spec, source_allowed
from actors.engines.request import ContainerRequest, Mount, docker_body
from actors.log.redact import redact_text
from config.policy import PolicySettings
from protocol.errors import Code, ProtocolError
from protocol.messages.commands import COMMANDS, EngineStart
from protocol.messages.engine_spec import EngineSpec, Gpus
from protocol.messages.model_source import ModelSource
from protocol.messages.registry import COMMAND_TABLE, dump, parse

DIGEST = "sha256:" + "0" * 64
IMAGE = f"vllm/vllm-openai@{DIGEST}"
POLICY = PolicySettings()


def spec(**changes):
    known = {"kind": "vllm", "image": IMAGE, "model": ModelSource(uri="hf://org/repo")}
    return EngineSpec(**(known | changes))


def payload(**changes):
    found = dump(EngineStart(name="chat", generation=1, spec=spec()))
    found["spec"] |= changes
    return found


def refused(given, *codes):
    with pytest.raises(ProtocolError) as caught:
        parse(COMMAND_TABLE, "engine.start", given)
    assert caught.value.code in codes
    assert caught.value.close_code is None, "the session lives"


def against_policy(suffix, given):
    with pytest.raises(RefusedError) as caught:
        check_spec(POLICY, given)
    assert caught.value.code == f"E_POLICY{suffix}"


def test_the_spec_that_the_rows_change_is_allowed():
    check_spec(POLICY, spec())


@pytest.mark.parametrize("name", ["../../etc", "..%2f", "a/b", ".", "a" * 65, "name\n", "．．", "", "-x", "A"])
def test_a065_names_cannot_be_paths(name):
    refused(payload() | {"name": name}, Code.SCHEMA)


@pytest.mark.parametrize("model", ["../../etc", "a/../b", "/etc", "a/b/c", "a\n", ".", ".."])
def test_a065_models_cannot_be_paths(model):
    with pytest.raises(ProtocolError) as caught:
        parse(COMMAND_TABLE, "model.remove", {"model": model})
    assert caught.value.code is Code.SCHEMA


@pytest.mark.parametrize("uri", ["hf://../..", "hf://org/..", "hf://org/repo@../x", "hf://org", "hf://org/repo/../x"])
def test_a065_sources_cannot_be_paths(uri):
    source = {"uri": uri, "kind": "hub"}
    with pytest.raises(ProtocolError):
        parse(COMMAND_TABLE, "model.pull", {"source": source})


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/latest",
        "https://[::1]/x",
        "https://127.1/x",
        "https://0x7f000001/x",
        "https://user@host/x",
        "file:///etc/passwd",
        "gopher://x",
    ],
)
def test_a067_the_policy_allows_no_other_source_than_it_names(uri):
    assert not source_allowed(POLICY, uri)


@pytest.mark.parametrize("argument", ["; rm -rf /", "$(id)", "`id`"])
def test_a068_shell_meta_is_one_argument_and_never_a_shell(argument):
    found = spec(extra_args=(argument,))
    body = docker_body(ContainerRequest(name="x", image=IMAGE, argv=(*found.extra_args,), port=8000))
    assert body["Cmd"] == [argument]
    assert not body.get("Entrypoint"), "the image's own, never a shell of ours"


@pytest.mark.parametrize("argument", ["a\nb", "a\0b", "a\rb", ""])
def test_a068_arguments_hold_no_newline_and_no_nul(argument):
    refused(payload(extra_args=(argument,)), Code.SCHEMA)


@pytest.mark.parametrize(
    "argument", ["--trust-remote-code", "--ssl-keyfile=/etc/shadow", "--load-format=pt", "--host=0.0.0.0", "-x"]
)
def test_a069_argument_smuggling(argument):
    against_policy(".arg", spec(extra_args=(argument,)))


def test_a069_code_that_comes_with_a_model():
    against_policy(".arg", spec(trust_remote_code=True))


@pytest.mark.parametrize(
    "image",
    [
        f"docker.io/evil/image@{DIGEST}",
        f"ghcr.io.evil/huggingface/text-generation-inference@{DIGEST}",
        f"evil/vllm/vllm-openai@{DIGEST}",
        "vllm/vllm-openai:latest",
        "vllm/vllm-openai",
        f"vllm/vllm-openai-evil@{DIGEST}",
    ],
)
def test_a070_image_not_allowed(image):
    against_policy(".image", spec(image=image))


@pytest.mark.parametrize("image", ["VLLM/vllm-openai:x", "vllm/vllm-openai@sha256:00", "a b", "a:b\n", "../x"])
def test_a070_image_that_is_no_name(image):
    refused(payload(image=image), Code.SCHEMA)


FORBIDDEN_FIELDS = ("privileged", "cap_add", "security_opt", "pid_mode", "ipc_mode", "network_mode", "userns_mode")
FORBIDDEN_FIELDS += ("devices", "cgroup_parent", "runtime", "sysctls", "volumes_from", "links", "mounts", "volumes")
FORBIDDEN_FIELDS += ("binds", "entrypoint", "user")


@pytest.mark.parametrize("field", FORBIDDEN_FIELDS)
def test_a072_a073_a074_no_field_brings_a_mount_or_a_privilege(field):
    refused(payload(**{field: ["/var/run/docker.sock:/x", "/:/host", "host", True]}), Code.UNKNOWN_FIELD)


def test_a072_a073_every_mount_of_an_engine_is_the_agents_own():
    """Whatever a command says, a container's mounts come from its kind: the model, read-only, and a cache."""
    for field in EngineSpec.model_fields:
        assert "mount" not in field
        assert "volume" not in field
    body = docker_body(
        ContainerRequest(name="x", image=IMAGE, argv=(), port=8000, mounts=(Mount("/models/a", "/model"),))
    )["HostConfig"]
    assert not body.get("Privileged")
    assert body["CapDrop"] == ["ALL"]
    assert any("no-new-privileges" in option for option in body["SecurityOpt"])
    assert "docker.sock" not in str(body)


BAD_ENV = ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONPATH", "PYTHONSTARTUP", "NVIDIA_VISIBLE_DEVICES")
BAD_ENV += ("CUDA_INJECTION64_PATH", "GIT_SSH_COMMAND", "HTTP_PROXY", "HTTPS_PROXY", "PATH", "HOME", "HF_TOKEN")


@pytest.mark.parametrize("name", BAD_ENV)
def test_a075_env_injection(name):
    against_policy(".env", spec(env={name: "x"}))


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("A\0", "x"), ("VLLM_A", "x\0y"), ("http_proxy", "x")])
def test_a075_env_that_is_no_variable(name, value):
    refused(payload(env={name: value}), Code.SCHEMA)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "CUDA_INJECTION64_PATH"])
def test_a076_image_env_that_loads_code(name):
    with pytest.raises(RefusedError) as caught:
        check_image_env(IMAGE, {name: "/evil.so"})
    assert caught.value.code == "E_POLICY.env"


@pytest.mark.parametrize("gpus", [Gpus(uuids=("GPU-b",)), Gpus(uuids=("99",)), Gpus(count=2)], ids=str)
def test_a077_gpu_not_owned(gpus):
    with pytest.raises(RefusedError):
        choose(("GPU-a", "GPU-b"), {"other": ("GPU-b",)}, "chat", gpus)


@pytest.mark.parametrize("gpus", [{"count": -1}, {"uuids": ("-1; x",)}, {"count": 65}], ids=str)
def test_a077_gpus_that_are_none(gpus):
    refused(payload(gpus=gpus), Code.SCHEMA)


@pytest.mark.parametrize("port", [22, 0, 65_536, -1, "0.0.0.0"])
def test_a078_port_abuse(port):
    refused(payload(port=port), Code.SCHEMA)


def test_a078_the_address_is_loopback_whatever_is_asked():
    body = docker_body(ContainerRequest(name="x", image=IMAGE, argv=(), port=8000, publish_port=9_000))
    (binding,) = body["HostConfig"]["PortBindings"]["8000/tcp"]
    assert binding["HostIp"] == "127.0.0.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": 2**63},
        {"memory_bytes": 1},
        {"cpus": float("nan")},
        {"cpus": float("inf")},
        {"cpus": 10**6},
        {"shm_bytes": 2 << 30, "memory_bytes": 1 << 30},
        {"parallel": 10**6},
        {"tensor_parallel": 65},
        {"replicas": 10**6},
    ],
    ids=str,
)
def test_a079_resource_abuse(changes):
    refused(payload(**changes), Code.SCHEMA, Code.UNKNOWN_FIELD)


def test_a023_no_command_names_more_than_one_engine():
    """A mass stop is many commands, each signed alone; a burst of them must be confirmed (the journal's tests)."""
    for model in COMMANDS:
        assert not {"names", "engines", "all"} & set(model.model_fields), model


def test_a081_texts_that_look_like_secrets_do_not_reach_a_log():
    assert "hf_plantedsecret" not in redact_text("told: hf_plantedsecret and msj1.abc.def.ghi")
