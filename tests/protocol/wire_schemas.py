"""Writes docs/wire/ from the messages, JSON Schemas and AsyncAPI: `python -m tests.protocol.wire_schemas`."""

import json
from pathlib import Path

from pydantic.json_schema import models_json_schema

from protocol.messages.commands import COMMANDS
from protocol.messages.control import BOTH_WAYS, HANDSHAKE, TO_AGENT, TO_MASTER, Challenge
from protocol.messages.registry import ALL
from protocol.messages.reports import REPORTS

FOLDER = Path(__file__).parents[2] / "docs" / "wire"
SCHEMAS, ASYNCAPI = "schemas.json", "asyncapi.json"
NOTE = "Payloads are msgpack. A string of format binary is msgpack's bin; every other string is UTF-8 text."
FROM_AGENT = (*(model for model in HANDSHAKE if model is not Challenge), *BOTH_WAYS, *TO_MASTER, *REPORTS)
FROM_MASTER = (Challenge, *BOTH_WAYS, *TO_AGENT)


def schemas() -> dict:
    """One document; `$defs` holds every message and every part, `x-words` which word is which."""
    _, found = models_json_schema([(model, "validation") for model in ALL.values()])
    words = {word: {"$ref": f"#/$defs/{model.__name__}"} for word, model in ALL.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of mosalama.v1",
        "description": NOTE,
        "x-words": words,
        "$defs": _portable(found["$defs"]),
    }


def asyncapi() -> dict:
    """One channel, two directions; `x-commands` names what the envelope of a `command` may hold."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mosalama.v1",
            "version": "1",
            "description": f"The link of an agent to its master, seen from the agent. Frames: docs/wire.md. {NOTE}",
        },
        "defaultContentType": "application/msgpack",
        "channels": {
            "link": {
                "address": "/v1/link",
                "description": "One WebSocket, subprotocol mosalama.v1, binary frames, no compression. "
                "With the feature bundle a frame carries several messages, each as it would be alone.",
                "messages": {model.TYPE: _at("messages", model.TYPE) for model in {*FROM_AGENT, *FROM_MASTER}},
            }
        },
        "operations": {
            "toMaster": _operation("send", FROM_AGENT),
            "toAgent": _operation("receive", FROM_MASTER),
        },
        "components": {
            "messages": {word: _message(word, model) for word, model in ALL.items()},
        },
        "x-commands": [_at("messages", model.TYPE) for model in COMMANDS],
    }


def files() -> dict[str, str]:
    """Name -> text of everything in docs/wire/."""
    return {
        name: json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        for name, value in ((SCHEMAS, schemas()), (ASYNCAPI, asyncapi()))
    }


def _message(word, model) -> dict:
    payload = {"$ref": f"{SCHEMAS}#/$defs/{model.__name__}"}
    return {"name": word, "summary": " ".join(model.__doc__.split()), "payload": payload}


def _operation(action, models) -> dict:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/link"},
        "messages": [{"$ref": f"#/channels/link/messages/{model.TYPE}"} for model in models],
    }


def _at(kind, word) -> dict:
    return {"$ref": f"#/components/{kind}/{word}"}


def _portable(value):
    """Patterns end with `$`, which ends a text in JSON Schema's dialect; Python's own needs `\\Z` for that."""
    if isinstance(value, dict):  # the names too: the keys of a map are checked by `patternProperties`
        return {_portable(name): _portable(inner) for name, inner in value.items()}
    if isinstance(value, str):
        return value.replace("\\Z", "$")
    return [_portable(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in files().items():
        (FOLDER / file).write_text(text)
