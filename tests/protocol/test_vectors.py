"""The vectors, read as a stranger would: by offsets and PyNaCl alone, then by both sides of the protocol."""

import io
import json

import msgpack
import pytest
from nacl.signing import SigningKey, VerifyKey

from protocol.errors import ProtocolError
from protocol.keyset import open_keyset
from protocol.tokens import parse_join_token
from tests.fakes.trust import AGENT, NOW_MS, ROOTS, pair
from tests.protocol import vectors, wire_schemas

STORED = json.loads(vectors.FILE.read_text())
GOOD = {row["name"]: row for row in STORED["good"]}


def test_the_file_is_current():
    assert vectors.FILE.read_text() == vectors.text(), "run: python -m tests.protocol.vectors"


@pytest.mark.parametrize("row", STORED["good"], ids=lambda row: row["name"])
def test_a_stranger_can_cut_and_verify_every_good_frame(row):
    frame, public = bytes.fromhex(row["frame"]), bytes.fromhex(STORED["keys"][row["key"]]["public"])
    size = int.from_bytes(frame[13:15], "big")
    body, signature = frame[15 : 15 + size], frame[17 + size :]
    signed = f"mosalama/1/{row['purpose']}".encode() + b"\0" + bytes.fromhex(row["bind"]) + body
    VerifyKey(public).verify(signed, signature)
    assert frame[4:12].hex() == STORED["keys"][row["key"]]["kid"]
    assert (body.hex(), signature.hex()) == (row["body"], row["signature"])
    assert msgpack.unpackb(frame) == [1, frame[4:12], body, signature]


def test_the_keys_are_those_of_their_seeds():
    for row in STORED["keys"].values():
        assert bytes(SigningKey(bytes.fromhex(row["seed"])).verify_key).hex() == row["public"]
    assert parse_join_token(STORED["join_token"]).pin.hex() == STORED["roots_pin"]
    assert open_keyset(bytes.fromhex(STORED["keyset_document"]), ROOTS, now_ms=NOW_MS).version == 1


def after_the_command():
    """An agent in the session of the vectors, which has had the master's first frame."""
    both = pair().shake()
    assert both.challenge.hex() == GOOD["challenge"]["frame"]
    both.agent.receive(bytes.fromhex(GOOD["command, seq 1 of the master"]["frame"]), NOW_MS)
    return both


@pytest.mark.parametrize("row", STORED["bad"], ids=lambda row: row["name"])
def test_every_bad_frame_is_refused_with_its_code(row):
    with pytest.raises(ProtocolError) as caught:
        after_the_command().agent.receive(bytes.fromhex(row["frame"]), NOW_MS)
    assert (str(caught.value.code), caught.value.close_code) == (row["code"], row["closes"])


def test_the_result_of_the_vectors_opens_on_the_masters_side():
    (found,) = after_the_command().master.receive(bytes.fromhex(GOOD["result, seq 1 of the agent"]["frame"]))
    assert (found.message.state, found.offset, STORED["agent_id"]) == ("done", 1, AGENT)


@pytest.mark.parametrize("side", ["agent", "master"])
def test_a_stranger_can_take_a_bundle_apart_and_sees_which_message_is_bad(side):
    row = GOOD[f"a bundle, seq 2 to 4 of the {side}"]
    parts = list(msgpack.Unpacker(io.BytesIO(bytes.fromhex(row["body"]))))
    assert [msgpack.unpackb(part)[2] for part in parts] == [2, 3, 4]
    both = after_the_command()
    both.master.receive(bytes.fromhex(GOOD["result, seq 1 of the agent"]["frame"]))
    frame = bytes.fromhex(row["frame"])
    first, bad, last = both.master.receive(frame) if side == "agent" else both.agent.receive(frame, NOW_MS)
    assert (first.message.at_ms, bad.error.code, last.message.at_ms) == (1, "E_SCHEMA", 3)


@pytest.mark.parametrize("name", wire_schemas.files())
def test_the_schemas_are_current(name):
    assert (wire_schemas.FOLDER / name).read_text() == wire_schemas.files()[name], (
        "run: python -m tests.protocol.wire_schemas"
    )


def _references(value):
    if isinstance(value, dict):
        yield from (inner for name, inner in value.items() if name == "$ref")
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_every_reference_of_the_documents_leads_somewhere():
    documents = {name: json.loads((wire_schemas.FOLDER / name).read_text()) for name in wire_schemas.files()}
    for name, whole in documents.items():
        for reference in _references(whole):
            file, _, path = reference.partition("#/")
            found = documents[file or name]
            for step in path.split("/"):
                found = found[step]
            assert found, reference
    assert "\\Z" not in json.dumps(documents).replace("\\\\", "\\")
