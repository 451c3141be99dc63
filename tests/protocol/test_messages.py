from pathlib import Path

import pytest
from pydantic import ValidationError

from protocol.codec import decode, encode
from protocol.errors import Code, ProtocolError
from protocol.messages.commands import EngineStart, ModelPull
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.registry import AGENT_TABLE, ALL, COMMAND_TABLE, MASTER_TABLE, dump, parse
from tests.protocol.wire_document import document

SOURCE = ModelSource(uri="hf://org/repo@main:file.gguf")
SPEC = EngineSpec(kind="vllm", image="vllm/vllm-openai:v1", model=SOURCE)


def test_the_page_of_the_wire_is_current():
    page = Path(__file__).parents[2] / "docs" / "wire.md"
    assert page.read_text() == document(), "run: python -m tests.protocol.wire_document > docs/wire.md"


def test_words_are_unique_and_directions_are_closed():
    assert not set(COMMAND_TABLE) & (set(AGENT_TABLE) | set(MASTER_TABLE))
    assert set(AGENT_TABLE) & set(MASTER_TABLE) == {"heartbeat", "credit", "error"}
    assert all(word == model.TYPE for word, model in ALL.items())


@pytest.mark.parametrize("model", ALL.values(), ids=ALL)
def test_every_message_is_frozen_and_closed(model):
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["strict"]
    assert model.__doc__


def test_a_command_survives_the_wire():
    start = EngineStart(name="chat", generation=3, spec=SPEC)
    assert parse(COMMAND_TABLE, "engine.start", decode(encode(dump(start)))) == start
    pull = ModelPull(source=SOURCE)
    assert parse(COMMAND_TABLE, "model.pull", decode(encode(dump(pull)))) == pull


@pytest.mark.parametrize(
    ("uri", "model", "revision", "file"),
    [
        ("hf://org/repo", "org/repo", "main", None),
        ("hf://org/repo@v1.0", "org/repo", "v1.0", None),
        ("hf://org/repo:dir/m.gguf", "org/repo", "main", "dir/m.gguf"),
        ("hf://org/repo@abc:m.gguf", "org/repo", "abc", "m.gguf"),
    ],
)
def test_a_hub_address_names_its_parts(uri, model, revision, file):
    source = ModelSource(uri=uri)
    assert (source.model, source.revision, source.file) == (model, revision, file)


@pytest.mark.parametrize(
    "fields",
    [
        {"uri": "hf://org"},
        {"uri": "hf://../etc"},
        {"uri": "hf://org/repo\n"},
        {"uri": "hf://org/réspo"},
        {"uri": "file:///etc/passwd"},
        {"uri": "https://host/file", "kind": "https"},
        {"uri": "relative", "kind": "path"},
        {"uri": "x", "kind": "manifest"},
    ],
)
def test_a_source_that_means_nothing_is_refused(fields):
    with pytest.raises(ValidationError):
        ModelSource(**fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "UPPER/case"),
        ("image", "img@sha256:short"),
        ("kind", "Exec!"),
        ("port", 22),
        ("port", 65_536),
        ("context_length", 1),
        ("parallel", 0),
        ("tensor_parallel", 65),
        ("memory_bytes", 2**63),
        ("cpus", float("nan")),
        ("extra_args", ("a\nb",)),
        ("extra_args", ("a\0",)),
        ("env", {"a=b": "x"}),
        ("env", {"A": "x\0"}),
        ("dtype", "fp16; rm"),
        ("served_name", "a b"),
        ("variant", "tpu"),
    ],
)
def test_every_range_of_a_spec_is_checked(field, value):
    with pytest.raises(ValidationError):
        EngineSpec(**(dict(SPEC) | {field: value}))


def test_what_disagrees_in_a_spec_is_refused():
    with pytest.raises(ValidationError, match="more than the GPUs"):
        EngineSpec(**(dict(SPEC) | {"tensor_parallel": 4, "gpus": {"count": 2}}))
    with pytest.raises(ValidationError, match="shm_bytes"):
        EngineSpec(**(dict(SPEC) | {"shm_bytes": 1 << 30, "memory_bytes": 1 << 29}))


def test_an_error_names_the_field_and_never_the_input():
    secret = "planted-secret"
    with pytest.raises(ProtocolError) as caught:
        parse(COMMAND_TABLE, "engine.stop", {"name": secret * 100, "generation": 1})
    assert caught.value.code is Code.SCHEMA
    assert caught.value.field == "engine.stop.name"
    with pytest.raises(ProtocolError) as unknown:
        parse(COMMAND_TABLE, "agent.status", {secret: 1})
    assert unknown.value.code is Code.UNKNOWN_FIELD
    assert secret not in str(caught.value) + str(unknown.value)
