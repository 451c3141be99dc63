"""What engines wrote is shown and does nothing: not to the terminal, not to the table it stands in."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from actors.cli.main import cli
from actors.master.options import show
from actors.terminal import KEPT, tame
from tests.actors.cli.test_views import ANSWERS
from tests.fakes.control_socket import ControlSocket

EVIL = "\x1b]0;owned\x07\x1b[2J[/INST][red]a\x9b1mb\u202ec\r"
SHOWN = r"\x1b]0;owned\x07\x1b[2J[/INST][red]a\x9b1mb\u202ec\r"


@given(st.text())
def test_no_text_steers_a_terminal_and_nothing_of_it_is_lost(text):
    shown = tame(text)
    assert all(char in KEPT or (char.isprintable() or not char.isascii()) for char in shown)
    assert not set(shown) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    assert tame(text) == text or len(shown) > len(text)


def test_texts_at_any_depth_are_tamed():
    assert tame({"a\x1b": [("b\x07",), 1, None]}) == {r"a\x1b": [[r"b\x07"], 1, None]}


@pytest.fixture
def daemon(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    monkeypatch.setenv("MOSALAMA_PATHS__RUN_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "240")
    engine = ANSWERS["/v1/engines"]["engines"][0] | {"why": EVIL, "generation": 1}
    event = ANSWERS["/v1/events"]["events"][0] | {"text": EVIL, "subject": "engine/chat"}
    box = {"at": 0.0, "what": EVIL, "why": "w", "do": "d", "last": [EVIL]}
    answers = ANSWERS | {
        "/v1/engines": {"engines": [engine]},
        "/v1/events": {"events": [event]},
        "/v1/engines/chat": {"engine": engine, "box": [box]},
        "/v1/engines/chat/log?lines=100": {"logs": [{"container": "c", "running": True, "lines": [EVIL]}], "why": ""},
        "/v1/docker": {"why": ""},
        "/v1/status": {"agent": EVIL},
    }
    socket = ControlSocket(folder, answers)
    yield
    socket.close()


@pytest.mark.parametrize(
    "words",
    ["engines", "events", "status", "engine show chat", "engine explain chat", "engine logs chat", "doctor"],
)
def test_no_command_passes_on_what_steers(words, daemon):
    done = CliRunner().invoke(cli, words.split())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert not set(done.output) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    assert SHOWN in done.output or words == "doctor"


def test_programs_get_it_as_it_is(daemon):
    done = CliRunner().invoke(cli, ["engines", "--json"])
    assert json.loads(done.output)["engines"][0]["why"] == EVIL
    assert "\x1b" not in done.output


def test_the_masters_tables_are_as_deaf(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    row = {"at_ms": 0, "severity": "info", "kind": "k", "subject": "s", "text": EVIL}
    show({"events": [row]}, as_json=False, render="events")
    show({"word": "w", "command_id": "c", "state": "failed", "result": {"error": {"why": EVIL}}}, as_json=False,
         render="command")  # fmt: skip
    assert capsys.readouterr().out.count(SHOWN) == 2
