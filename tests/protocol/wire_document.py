"""Writes docs/wire.md from the messages themselves: `python -m tests.protocol.wire_document > docs/wire.md`."""

import inspect
import json

from protocol import limits
from protocol.errors import CLOSES, RETRIES, Code, Retry
from protocol.keys import Purpose
from protocol.messages.commands import COMMANDS
from protocol.messages.control import BOTH_WAYS, HANDSHAKE, TO_AGENT, TO_MASTER
from protocol.messages.reports import REPORTS

HEAD = """\
# The wire

Written from the code by `tests/protocol/wire_document.py`; a test keeps it current.

One WebSocket, subprotocol `mosalama.v1`, binary frames only, no compression. The agent dials out.

For a master in another language: `protocol/vectors/vectors.json` has keys, good frames and bad frames with the code
that refuses them; `docs/wire/schemas.json` has JSON Schemas of all payloads, `docs/wire/asyncapi.json` the link as
AsyncAPI.

## A frame
| offset | bytes | meaning |
|---|---|---|
| 0 | `94` | msgpack array of four |
| 1 | `01` | version of the wire |
| 2 | `c4 08` + 8 | id of the signing key: the first 8 bytes of BLAKE2b-256 of the public key |
| 12 | `c5` + 2 + n | body, at most 65 535 bytes |
| 15 + n | `c4 40` + 64 | Ed25519 signature |

The signature covers `"mosalama/1/" + purpose + NUL`, 32 bytes of binding, and the exact bytes of the body. Nothing
is parsed before it holds, but for bodies that bring what their key is found by: an enrollment request and its answer, a
`hello`, and a `challenge` by a key that is not in the agent's keyset, whose newer keyset proves itself by the pinned
roots. They are parsed with the limits below, and believed only after the signature holds. The binding is zero before a
session; BLAKE2b-256 of the frames before in the handshake; the session hash afterwards; for commands BLAKE2b-256 of the
agent's id.

## The handshake
`hello` (agent), `challenge` (master), `auth` (agent). The session hash is BLAKE2b-256 of `"mosalama/1/session" + NUL`
and the three complete frames, so no feature can be taken out on the way. The features are `bulk`, `bundle` and
`credit`; a session has those that `hello` offers and `challenge` repeats. Clocks may differ by at most 300 s. A
keyset in a `challenge` or a `keyset` comes with every document between the agent's and itself that changed the roots
(`chain`), oldest first: each is signed by a threshold of the roots before it and of its own. The upgrade carries
`Authorization: Bearer` and an access token or an assertion; the key of `hello` must be the one that the access token
is bound to.

## A body in a session
A body is one message, or with the feature `bundle` several.

A message is `[type, session_id, seq, ack, offset, at_ms, message_id, reply_to, payload]`, so its first byte is `99`.
`seq` counts messages and is exactly the next in this direction. `offset` is the place of a durable message in its
sender's stream, or nil. `ack` is the highest offset of the peer's stream that is on disk; one beyond what was sent is
ignored.

A bundle is two messages or more, at most 64, one after another and nothing else. Each is `c5`, its length as an
unsigned 16-bit number, and its bytes, which are what they would be alone; so the first byte of the body is `c5`. One
signature covers the whole. The lengths cut it before any parser runs. An empty message, a bundle in a bundle, one
message, too many, or lengths that do not come out end the session (`E_FRAME`).

Each message of a bundle is judged by itself. One that is refused (`E_DECODE`, `E_SCHEMA`, ...) counts its number and
is told by itself, and its neighbours are taken. A fault that ends the session (`E_SEQ`, `E_SID`, `E_ROLE`, ...)
anywhere in a frame takes the whole frame with it: nothing of it is taken, and what is durable comes again with the
next session. A sender never waits to fill a bundle. A side that did not agree on `bundle` gets one message in a
frame, and refuses a bundle as it refuses any body that is no message (`E_DECODE`).

## A command
The payload of `command` is an envelope of its own, sealed by a command key with purpose `cmd`:
`[type, id, issued_ms, ttl_ms, payload]`. A link key cannot make one. One whose key holds no more is refused
(`E_RETIRED`), as is every command while the keyset has expired (`E_KEYSET_EXPIRED`); the session lives.

## An agent's next key
`rotate` carries the new public key, signed by the old key over the session hash and the new key (`rotate-old`), and by
the new key over the session hash and the old key (`rotate-new`). `rotated` says that the master has it; the agent comes
back with the new key, and the old one opens for `overlap_ms` more after that.

## Delivery
A durable message is on disk before it is sent, and stays until it is acknowledged. After a reconnect both sides go on
behind the offset that the other has. A command id is carried out once, however often it comes.

A master that stops says `goaway`. An agent comes back `after_ms` later, spread over `spread_ms`; when nobody is there
yet it tries again within `spread_ms` each time, eight times in all, and from then on at doubling distances.

## Lanes
Four, by strict priority: control, state (every message with an offset), figures (`report`, `command.progress`), bulk
(`log.lines`). At most 256 KiB of state may be unacknowledged. With the feature `credit`, a sender has 128 KiB each
for figures and bulk; it sends a message while something is left, and gets back with `credit` (`channel` 2 or 3) what
the receiver has consumed. More than the window is taken for the window. A message counts the bytes of a frame that
carries it alone, its body and 81 more, whatever carries it.

With the feature `bulk`, the agent may open a second WebSocket at `/v1/bulk` while its session stands, with a token for
that door. It sends `log.lines` only, sealed under the hash of the main session with purpose `bulk-a2m` and a `seq` of
its own that goes on over later sockets of the session; nothing comes back. It is closed when no chunk came for a while.
"""


def document() -> str:
    """The whole page."""
    parts = [HEAD, "\n## Purposes of signatures\n", ", ".join(f"`{purpose}`" for purpose in Purpose), "\n"]
    families = [
        ("Handshake", HANDSHAKE),
        ("Both directions", BOTH_WAYS),
        ("Master to agent", TO_AGENT),
        ("Agent to master", (*TO_MASTER, *REPORTS)),
        ("Inside a command", COMMANDS),
    ]
    for title, models in families:
        parts.append(f"\n## {title}\n")
        parts += [_message(model) for model in models]
    parts.append("\n## Codes\n| code | closes with | try again |\n|---|---|---|\n")
    parts += [f"| {code} | {CLOSES.get(code, 'lives')} | {RETRIES.get(code, Retry.NO)} |\n" for code in Code]
    parts.append("\n## Limits\n| name | value |\n|---|---|\n")
    parts += [f"| {name} | {value} |\n" for name, value in vars(limits).items() if name.isupper()]
    return "".join(parts)


def _message(model) -> str:
    schema = model.model_json_schema(mode="validation")
    required = set(schema.get("required", ()))
    rows = [f"### {model.TYPE}\n{inspect.getdoc(model)}\n\n"]
    fields = schema.get("properties", {})
    if fields:
        rows.append("| field | type | |\n|---|---|---|\n")
        rows += [
            f"| {name} | {_type(field)} | {'required' if name in required else 'optional'} |\n"
            for name, field in fields.items()
        ]
        rows.append("\n")
    return "".join(rows)


def _type(field) -> str:
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[-1]
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option) for option in field["anyOf"]))
    if "enum" in field:
        return " or ".join(f"`{json.loads(json.dumps(value))}`" for value in field["enum"])
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"array of {_type(field.get('items', {}))}"
    bounds = [f"{word} {field[word]}" for word in ("minimum", "maximum", "maxLength", "maxItems") if word in field]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


if __name__ == "__main__":
    print(document(), end="")
