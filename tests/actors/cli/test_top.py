"""The page in a terminal: its lines, its command, and a real terminal's life with it."""

import dataclasses
import json
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.api.board import plain
from actors.cli.main import cli
from actors.cli.top_view import View, frame, span, spark
from tests.bed.demo_world import BIN
from tests.e2e import page_world as world
from tests.fakes.control_socket import ControlSocket


def facts(chat="ready", alerts=(), **more):
    return {
        "link": {"state": "connected", "agent_id": "a-7f3c"},
        "agent": {"version": "0.1.0"},
        "status": {"started_at": world.NOW - 90_000},
        "engines": plain(world.engines(chat).engines),
        "models": plain(world.models().models),
        "transfers": plain(world.transfers().transfers),
        "alerts": plain(alerts),
        "snapshot": world.figures(world.NOW),
        "tree": world.TREE,
        "events": world.EVENTS,
    } | more


PAST = {"host.cpu": [0.1, None, 0.5], "engine.chat-8b.tokens": [1.0, 2.0]}
CROWD = facts(
    "gave_up",
    tuple(dataclasses.replace(world.ALERT, fingerprint=str(number)) for number in range(30)),
    snapshot=world.figures(world.NOW) | {"gpus": {str(number): {"utilization": 0.5} for number in range(8)}},
    engines=plain(world.engines().engines) * 12,
)
EMPTY = {
    "link": None,
    "agent": None,
    "status": None,
    "engines": [],
    "transfers": [],
    "alerts": [],
    "snapshot": None,
    "tree": None,
    "events": [],
}


def lines(found=None, width=80, height=24, **more):
    return [line.plain for line in frame(View(found or facts(), PAST, width, height, world.NOW, **more))]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 3)])
@pytest.mark.parametrize("found", [facts(), CROWD, EMPTY], ids=["usual", "crowd", "empty"])
@pytest.mark.parametrize("pane", ["events", "tree"])
def test_a_frame_is_exactly_the_window(found, size, pane):
    width, height = size
    shown = frame(View(found, PAST, width, height, world.NOW, pane=pane))
    assert len(shown) == height
    assert max(line.cell_len for line in shown) <= width
    assert "quit" in shown[-1].plain


def test_what_matters_is_there_in_a_small_window():
    text = "\n".join(lines(facts("backoff", (world.CRITICAL,))))
    for word in (
        "chat-8b is not serving: exit code 137",
        "critical: Engine chat-8b",
        "again in 42 s",
        "GPU1",
        "heat",
        "Mistral-Small-24B",
        "25 %",
        "EVENTS",
        "up 1 d 1 h",
    ):
        assert word in text


def test_a_download_whose_size_nobody_knows_shows_bytes_and_a_rate():
    running = {"model": "org/n", "state": "transferring", "done_bytes": 5 << 20, "total_bytes": 0, "rate_bytes_s": 2e6}
    (line,) = [line for line in lines(facts(transfers=[running]), 120) if "org/n" in line]
    assert "5.0 MiB" in line
    assert "/s" in line
    assert "%" not in line


def test_in_a_crowd_every_part_keeps_a_place():
    text = "\n".join(lines(CROWD, 100, 34))
    for word in ("warning:", "ENGINE", "↓", "EVENTS"):
        assert word in text


def test_what_is_not_known_is_a_dash_and_an_empty_machine_says_so():
    shown = lines(EMPTY)
    assert "○ no engine is wanted here" in shown[1]
    assert "-" in shown[3]
    assert not any("ENGINE" in line for line in shown)


def test_old_facts_say_that_they_are_old():
    assert "▲ not live: no daemon answers" in lines(trouble="no daemon answers")[1]


def test_a_spark_is_as_wide_as_asked_and_keeps_gaps():
    assert spark([0.0, None, 4.0, 8.0], 10) == "▁ ▄█"
    assert spark([1.0] * 50, 7) == "█" * 7
    assert spark([], 5) == spark([1.0], 0) == ""
    assert [span(value) for value in (5, 65, 3_700, 200_000)] == ["5 s", "1 min", "1 h 1 min", "2 d 7 h"]


def test_what_engines_wrote_does_not_steer_the_terminal():
    evil = plain(world.engines("gave_up").engines)
    evil[0]["why"] = "first\nsecond \x1b[2J\x9b31m"
    shown = lines(facts(engines=evil))
    assert len(shown) == 24
    assert not any(character in line for line in shown for character in "\n\x1b\x9b")


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def run_dir(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="ma") as folder:
        monkeypatch.setenv("MOSALAMA_PATHS__RUN_DIR", folder)
        monkeypatch.setenv("COLUMNS", "100")
        yield Path(folder)


@pytest.fixture
def daemon(run_dir):
    server = ControlSocket(run_dir, {"/v1/overview": facts(), "/v1/history?span=15m": {"series": PAST}})
    yield server
    server.close()


def test_once_is_one_frame_of_any_length(daemon):
    result = CliRunner().invoke(cli, ["top", "--once"])
    assert result.exit_code == 0, result.output
    assert "2 of 3 engines serving" in result.output
    assert "the daemon has started" in result.output
    assert "\x1b" not in result.output


def test_no_terminal_is_one_frame_too(daemon):
    assert "2 of 3 engines serving" in CliRunner().invoke(cli, ["top"]).output


def test_json_is_everything_at_once(daemon):
    result = CliRunner().invoke(cli, ["top", "--json"])
    assert json.loads(result.output) == json.loads(json.dumps(facts()))


def test_without_a_daemon_the_exit_code_is_69(run_dir):
    result = CliRunner().invoke(cli, ["top"])
    assert (result.exit_code, "no daemon answers" in result.output) == (69, True)


class Terminal:
    """A terminal of 80 by 24 with `top` in it."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        self.program = subprocess.Popen(
            [BIN / "mosalamaagent", "top", "--interval", "0.2"],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        self.seen = ""

    def until(self, word, timeout_s=20):
        """Read on until `word` has been written since the last call."""
        begin, ends = len(self.seen), time.monotonic() + timeout_s
        while word not in self.seen[begin:]:
            assert time.monotonic() < ends, f"no {word!r} in {self.seen[begin:][-2_000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65_536).decode(errors="replace")

    def key(self, key):
        os.write(self.master, key.encode())

    def ended(self):
        self.until("\x1b[?1049l")
        return self.program.wait(10)

    def close(self):
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(daemon):
    made = Terminal()
    yield made
    made.close()


def test_keys_change_what_is_shown_and_q_leaves_the_terminal_as_it_was(terminal):
    terminal.until("EVENTS")
    terminal.key("t")
    terminal.until("SUPERVISION")
    terminal.key("p")
    terminal.until("PAUSED")
    terminal.key("q")
    assert terminal.ended() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_terminal_as_it_was(terminal, number, code):
    terminal.until("EVENTS")
    terminal.program.send_signal(number)
    assert terminal.ended() == code
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_daemon_that_goes_away_is_waited_for(run_dir):
    answers = {"/v1/overview": facts(), "/v1/history?span=15m": {"series": {}}}
    server = ControlSocket(run_dir, answers)
    terminal = Terminal()
    terminal.until("EVENTS")
    server.close()
    (run_dir / "control.sock").unlink()
    terminal.until("not live")
    server = ControlSocket(run_dir, answers)
    terminal.until("2 of 3 engines serving")
    terminal.key("q")
    assert terminal.ended() == 0
    terminal.close()
    server.close()
