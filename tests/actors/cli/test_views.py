import json
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.cli.main import cli
from tests.fakes.control_socket import ControlSocket

NODE = {
    "path": "/root",
    "kind": "supervisor",
    "state": "running",
    "incarnation": 1,
    "restarts_in_window": 0,
    "restarts_total": 0,
    "last_reason": None,
    "next_restart_in_s": None,
    "mailbox_depth": 0,
    "current_message": None,
    "current_age_s": None,
    "children": [],
}
CHILD = NODE | {
    "path": "/root/link",
    "state": "backoff",
    "incarnation": 3,
    "restarts_total": 2,
    "restarts_in_window": 2,
    "last_reason": "crash: ValueError",
    "next_restart_in_s": 1.5,
    "current_message": "Connect",
    "current_age_s": 0.25,
}
ANSWERS = {
    "/v1/tree": NODE | {"children": [CHILD]},
    "/v1/status": {"agent": {"id": "a1"}, "checks": [{"name": "docker", "ok": True}]},
    "/v1/events": {"events": [{"at": 0, "severity": "info", "kind": "engine.ready", "subject": "chat", "text": "up"}]},
    "/v1/engines": {
        "engines": [
            {
                "name": "chat",
                "kind": "llamacpp",
                "state": "ready",
                "model": "m",
                "endpoint": "http://x",
                "why": "",
            }
        ]
    },
    "/v1/models": {
        "models": [{"model": "org/m", "revision": "0123456789abcdef", "size_bytes": 1 << 30, "current": True}],
        "transfers": [
            {
                "model": "org/n",
                "state": "running",
                "done_bytes": 5,
                "total_bytes": 10,
                "rate_bytes_s": 1.0,
                "eta_s": 5.0,
            }
        ],
    },
    "/v1/metrics": {"host": {"cpu": 0.5}},
    "/v1/alerts": {
        "alerts": [
            {
                "starts_at": 0.0,
                "severity": "critical",
                "rule": "gpu_lost",
                "text": "GPU x does not answer any more",
                "do": "Drain the node",
                "follows_from": "gpu_driver_hung",
                "flapping": True,
                "stale": True,
                "count": 3,
            }
        ]
    },
}
SHOWN = {
    "tree": [
        "link",
        "backoff",
        "incarnation 3",
        "2 in window",
        "next restart in 1.5 s",
        "crash: ValueError",
        "Connect",
    ],
    "status": ["agent.id", "a1", "checks[0].name"],
    "events": ["1970-01-01 00:00:00", "engine.ready", "up"],
    "engines": ["chat", "llamacpp", "ready", "http://x"],
    "models": ["org/m", "0123456789ab", "1.0 GiB", "org/n", "5 B"],
    "metrics": ["host.cpu", "0.5"],
    "alerts": [
        "gpu_lost",
        "critical",
        "Drain the node",
        "follows from gpu_driver_hung, flapping, not known now, 3 times",
    ],
}


@pytest.fixture
def run_dir(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="ma") as folder:  # short: a unix socket's path has 107 bytes
        monkeypatch.setenv("MOSALAMA_PATHS__RUN_DIR", folder)
        monkeypatch.setenv("COLUMNS", "200")
        yield Path(folder)


@pytest.fixture
def daemon(run_dir):
    server = ControlSocket(run_dir, ANSWERS)
    yield server
    server.close()


@pytest.mark.parametrize("name", SHOWN)
def test_a_view_shows_what_the_daemon_says(daemon, name):
    result = CliRunner().invoke(cli, [name])
    assert result.exit_code == 0, result.output
    for word in SHOWN[name]:
        assert word in result.output


@pytest.mark.parametrize("name", SHOWN)
def test_json_is_the_daemons_own_answer(daemon, name):
    result = CliRunner().invoke(cli, [name, "--json"])
    assert json.loads(result.output) == ANSWERS[f"/v1/{name}"]


def test_a_download_whose_size_nobody_knows_shows_bytes_and_a_rate_and_no_total(run_dir):
    running = {"model": "org/n", "state": "transferring", "done_bytes": 5 << 20, "total_bytes": 0, "rate_bytes_s": 2e6}
    server = ControlSocket(run_dir, {"/v1/models": {"models": [], "transfers": [running]}})
    result = CliRunner().invoke(cli, ["models"])
    server.close()
    assert "5.0 MiB" in result.output
    assert "1.9 MiB/s" in result.output
    assert " 0 B" not in result.output


def test_without_a_daemon_the_exit_code_is_69_and_the_text_says_what_to_do(run_dir):
    result = CliRunner().invoke(cli, ["tree"])
    assert result.exit_code == 69
    assert "no daemon answers" in result.output
    assert "systemctl status" in result.output


def test_a_refusal_of_the_daemon_is_told(run_dir):
    server = ControlSocket(run_dir, {})
    result = CliRunner().invoke(cli, ["tree"])
    server.close()
    assert result.exit_code == 1
    assert "404" in result.output
