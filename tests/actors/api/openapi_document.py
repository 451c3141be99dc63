"""Writes the document of the local API from the facts themselves.

`python -m tests.actors.api.openapi_document > actors/api/openapi.json`
"""

import json
from importlib.metadata import version

from pydantic import TypeAdapter

from actors.facts import AlertFacts, EngineFacts, LinkChanged, ModelFacts, TransferFacts
from actors.figures import ROOMS
from actors.supervision.tree import TreeNode

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
CHECK = {
    "type": "object",
    "required": ["ok", "age_s", "why"],
    "properties": {"ok": {"type": "boolean"}, "age_s": {"type": ["number", "null"]}, "why": TEXT},
}
EVENT = {
    "type": "object",
    "required": ["at", "kind", "severity", "subject", "text"],
    "properties": {
        "at": NUMBER,
        "kind": TEXT,
        "severity": {"enum": ["info", "warning", "error", "critical"]},
        "subject": TEXT,
        "text": TEXT,
        "fields": {"type": "object"},
    },
}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}
FACTS = (AlertFacts, EngineFacts, LinkChanged, ModelFacts, TransferFacts, TreeNode)


def _schemas():
    found = {"Event": EVENT, "Error": ERROR, "Check": CHECK, "Snapshot": _snapshot()}
    for facts in FACTS:
        schema = TypeAdapter(facts).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        if "properties" in schema:
            found[facts.__name__] = schema
    for schema in found.values():
        schema.pop("title", None)
    return found


def _snapshot():
    rooms = {}
    for name, room in ROOMS.items():
        figures = {figure: {"description": what.meaning} for figure, what in room.figures.items()}
        one = {"type": "object", "properties": figures}
        rooms[name] = {"type": "object", "additionalProperties": one} if room.label else one
        rooms[name]["description"] = room.meaning + (f", by {room.label}" if room.label else "")
    return {"type": "object", "properties": {"at": NUMBER} | rooms}


def _ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


def _many(name):
    return {"type": "array", "items": _ref(name)}


def _object(**properties):
    return {"type": "object", "required": list(properties), "properties": properties}


STATUS = _object(
    agent={"type": ["object", "null"]},
    link=_ref("LinkChanged"),
    page={"type": ["string", "null"], "description": "where the page is served"},
    started_at=NUMBER,
    alerts=COUNT,
    engines=COUNT,
    engines_ready=COUNT,
)
READY = _object(
    ready={"type": "boolean"},
    checks={"type": "object", "additionalProperties": _ref("Check")},
    link=_ref("LinkChanged"),
)
PATHS = {
    "/healthz": ("Whether the daemon lives; nothing else is asked.", _object(alive={"type": "boolean"}), True),
    "/readyz": ("Whether it is ready to serve; each check with its age.", READY, True),
    "/metrics": ("Every figure, for Prometheus.", None, False),
    "/v1/status": ("This agent, its link and its counts.", STATUS, False),
    "/v1/tree": ("The supervision tree.", _ref("TreeNode"), False),
    "/v1/events": ("What happened, oldest first.", _object(events=_many("Event")), False),
    "/v1/engines": ("The engines of this machine.", _object(engines=_many("EngineFacts")), False),
    "/v1/models": (
        "The models in the store and the running transfers.",
        _object(models=_many("ModelFacts"), transfers=_many("TransferFacts")),
        False,
    ),
    "/v1/alerts": ("The alerts that are on.", _object(alerts=_many("AlertFacts")), False),
    "/v1/metrics": ("Every figure; docs/metrics.md explains them.", _ref("Snapshot"), False),
    "/v1/openapi.json": ("This document.", {"type": "object"}, False),
}


LOG = "/v1/engines/{name}/log"
CONTAINER = _object(container=TEXT, running={"type": "boolean"}, lines={"type": "array", "items": TEXT})
LAST = _object(logs={"type": "array", "items": CONTAINER}, why={"type": "string", "description": "what is missing"})


def _log():
    """One engine's log: text that may go on, or the last lines of each of its containers."""
    where = [("name", "path", TEXT, True), ("lines", "query", COUNT | {"maximum": 10_000}, False)]
    where.append(("follow", "query", {"enum": [0, 1]}, False))
    answers = {"200": _answer("Its last lines; as text those of the container that runs.", None)}
    answers["200"]["content"] |= _answer("", LAST)["content"]
    for status, words in LOG_FAILS.items():
        answers[status] = _answer(words, _ref("Error"))
    return {
        "summary": "The log of an engine; with follow=1 as text that goes on.",
        "parameters": [
            {"name": name, "in": place, "required": needed, "schema": schema} for name, place, schema, needed in where
        ],
        "responses": answers | _guards(),
    }


LOG_FAILS = {
    "400": "lines is no number, or too large.",
    "404": "There is no such engine with a container.",
    "406": "A log that goes on is plain text.",
    "429": "There are readers enough.",
    "502": "Docker does not answer.",
}


def _guards():
    return {
        "401": _answer("A token is wanted.", _ref("Error")),
        "421": _answer("The Host header names another machine.", _ref("Error")),
    }


def _answer(words, schema):
    content = {"text/plain": {"schema": TEXT}} if schema is None else {"application/json": {"schema": schema}}
    return {"description": words, "content": content}


def document():
    paths = {}
    for path, (words, schema, unwell) in PATHS.items():
        answers = {"200": _answer(words, schema)}
        if unwell:
            answers["503"] = _answer("It is not.", schema)
        paths[path] = {"get": {"summary": words, "responses": answers | _guards()}}
    paths[LOG] = {"get": _log()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MosalamaAgent",
            "version": version("mosalamaagent"),
            "description": "Read-only. The same over the control socket, where file permissions stand for the token.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def text():
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    print(text(), end="")
