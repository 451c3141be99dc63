"""The API's document is current, names every path, and every answer is as it says."""

import json
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path

import jsonschema
import pytest

from actors.api.actor import Put
from actors.api.server import OPENAPI
from actors.facts import (
    AlertFacts,
    AlertsChanged,
    EngineFacts,
    EnginesChanged,
    LinkChanged,
    ModelFacts,
    ModelsChanged,
    TransferFacts,
    TransfersChanged,
)
from actors.supervision.tree import TreeNode
from tests.actors.api.bench import Bench
from tests.actors.api.openapi_document import PATHS, document, text
from tests.actors.test_figures import whole
from tests.bed.processes import wait_until

OF_THE_PAGE = {"/", "/plain", "/static/{name}", "/v1/stream", "/v1/overview", "/v1/history"}
"""What the page asks for: its own business."""
LEAF = TreeNode("/root/journal", "worker", "running", 1, 0, 0, "", None, 0, "", 0.0)
NODE = asdict(replace(LEAF, path="/root", children=(LEAF,)))


@pytest.fixture
def bench():
    made = Bench()
    made.handle.tell(EnginesChanged((EngineFacts("chat", "vllm", "ready", gpus=("g",)),)))
    made.handle.tell(ModelsChanged((ModelFacts("org/m", "c", "/p", 5),)))
    made.handle.tell(TransfersChanged((TransferFacts("t", "org/m", "c", "fetching", 1, 2),)))
    made.handle.tell(
        AlertsChanged((AlertFacts("f", "disk_full", "critical", "/", (("disk", "/"),), 1.0, 0.9, "t", "d"),))
    )
    made.handle.tell(LinkChanged("connected", "https://m", "a1"))
    made.handle.tell(Put("snapshot", {"at": 1.0, **whole()}))
    wait_until(lambda: json.loads(made.get("/v1/metrics")[1]).get("host"), timeout_s=5, what="the snapshot")
    yield made
    made.close()


def test_the_shipped_document_is_current_and_served(bench):
    made = "run: python -m tests.actors.api.openapi_document > actors/api/openapi.json"
    assert OPENAPI.read_text() == text(), made
    assert json.loads(bench.get("/v1/openapi.json")[1]) == json.loads(text())


def test_every_path_that_is_served_is_in_the_document(bench):
    served = {path for method, path in bench.routes() if method == "GET"}
    assert set(PATHS) <= served
    assert {path for path in served - set(PATHS) if path not in OF_THE_PAGE} == set()


def test_every_answer_is_as_the_document_says(bench):
    bench.tree, bench.events = NODE, [{"at": 1.0, "kind": "k", "severity": "info", "subject": "s", "text": "t"}]
    parts = {"components": document()["components"]}
    for path in set(PATHS) - {"/metrics"}:
        status, body = bench.get(path)
        answers = document()["paths"][path]["get"]["responses"]
        schema = answers[str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(body), {**schema, **parts}, jsonschema.Draft202012Validator)


def test_a_wrong_answer_would_be_seen():
    schema = document()["paths"]["/v1/engines"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"engines": [{"name": 5}]}, {**schema, "components": document()["components"]})


def test_nothing_but_reading_is_offered(bench):
    assert {method for method, _ in bench.routes()} <= {"GET", "HEAD"}
    assert bench.get("/healthz")[0] == HTTPStatus.OK


def test_the_document_is_beside_the_server():
    assert Path(OPENAPI).parent.name == "api"
