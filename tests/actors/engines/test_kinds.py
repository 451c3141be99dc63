"""Kinds: the table in the documentation, and those that other packages bring."""

import pytest

from actors.engines.errors import RefusedError
from actors.engines.kinds import table
from actors.engines.kinds.base import Traits
from actors.engines.kinds.llamacpp import LlamaCpp
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from tests.actors.engines.capability_table import PAGE, page


def test_the_documented_table_is_what_the_adapters_say():
    assert PAGE.read_text(encoding="utf-8") == page()


class Own:
    traits = Traits("own", "/up", 1.0, None, ("onnx",), ("cpu",), ())


class Impostor:
    traits = Traits("vllm", "/up", 1.0, None, (), (), ())


class Entry:
    def __init__(self, name, made):
        self.name, self._made = name, made

    def load(self):
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


def test_a_package_brings_a_kind_and_one_that_is_broken_costs_only_its_own(monkeypatch):
    entries = [Entry("own", Own), Entry("broken", ImportError("no such library")), Entry("vllm", Impostor)]
    monkeypatch.setattr(table, "entry_points", lambda group: entries if group == table.GROUP else [])
    known = table.known_kinds()
    assert set(known) == {"llamacpp", "vllm", "tgi", "sglang", "own"}
    assert not isinstance(known["vllm"], Impostor)


def test_what_a_kind_cannot_do_is_refused_by_name():
    source = ModelSource(uri="hf://org/tiny")
    spec = EngineSpec(kind="llamacpp", image="x/y:z", model=source, dtype="fp16")
    with pytest.raises(RefusedError, match="llamacpp cannot do dtype"):
        table.check_features(LlamaCpp(), spec)
