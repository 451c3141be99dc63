"""A real master and a real agent as programs, over TLS: commands, kills of both, nothing lost or done twice."""

import http.client
import json
import os
import random
import shutil
import signal
import ssl
import subprocess

import pytest

from tests.bed.demo_report import StepFailedError
from tests.bed.demo_world import BIN, World
from tests.bed.places import short_folder
from tests.bed.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ROUNDS = int(os.environ.get("MOSALAMA_ROUNDS", "8"))
"""Kills of the delivery test; 200 by hand."""


@pytest.fixture
def world():
    folder = short_folder()
    made = World(folder, "unix:///nowhere/docker.sock")
    made.operator("init", "--host", "127.0.0.1")
    made.start_master()
    yield made
    made.close()
    shutil.rmtree(folder)


def enrol(world, token=None, **link):
    file = world.folder / "token"
    file.write_text(token or world.operator("token", "create")["token"])
    settings = {
        "paths": {name: str(world.folder / name) for name in ("state_dir", "run_dir", "log_dir")},
        "downloads": {"models_dir": str(world.folder / "models")},
        "engines": {"docker_host": world.docker_host},
        "api": {"port": 0},
        "link": {
            "masters": [f"https://127.0.0.1:{world.port}"],
            "ca_file": str(world.master_dir / "ca.pem"),
            "token_file": str(file),
            "first_retry_max_s": 0.2,
            "retry_max_s": 0.5,
        }
        | link,
    }
    world.run_dir = world.folder / "run_dir"
    world.write_config(settings)
    world.start_agent()


def connected(world):
    agents = wait_until(
        lambda: [agent for agent in world.operator("agents")["agents"] if agent["connected"]],
        timeout_s=30,
        what="the agent is connected",
    )
    world.agent_id = agents[0]["agent_id"]
    return agents


def drain(world, *, enabled=True):
    """One real command that needs no Docker; its id."""
    word = "--on" if enabled else "--off"
    return world.operator("agent", "drain", world.agent_id, word)["command_id"]


def post(world, word, payload):
    from actors.master.client import ask

    return ask(
        world.master_dir,
        "POST",
        f"/v1/agents/{world.agent_id}/commands",
        {"word": word, "payload": payload, "ttl_ms": 600_000},
    )


def ended(world, command_id):
    return wait_until(
        lambda: (row := world.operator("command", "show", command_id))["state"] in {"done", "failed"} and row,
        timeout_s=30,
        what=f"the end of {command_id}",
    )


def test_an_agent_enrols_once_reports_its_hardware_and_takes_commands(world):
    enrol(world)
    (agent,) = connected(world)
    assert agent["inventory"]["cpu.count"] >= 1
    assert agent["inventory"]["memory.total_bytes"] > 0
    assert ended(world, drain(world))["state"] == "done"
    for word, payload, instead in (
        ("agent.update", {"release": "1"}, "install the release"),
        ("agent.reload", {}, "systemctl restart"),
    ):
        refused = ended(world, post(world, word, payload)["command_id"])["result"]["error"]
        assert refused["code"] == "E_UNSUPPORTED"
        assert refused["what"].startswith(word)
        assert instead in refused["do"]
    told = ended(world, post(world, "agent.diagnose", {})["command_id"])
    assert told["state"] == "done"
    checks = {row["check"]: row for row in told["result"]["rows"]}
    assert checks["daemon"]["level"] == "good"
    assert checks["master"]["found"].startswith("connected to https://")
    assert any(check.startswith("event ") for check in checks)
    assert told["result"]["data"]["version"]
    wait_until(lambda: world.operator("metrics", world.agent_id), timeout_s=30, what="a report")


def test_a055_a_token_enrols_one_machine(world):
    token = world.operator("token", "create")["token"]
    enrol(world, token)
    connected(world)
    world.kill_agent()
    shutil.rmtree(world.folder / "state_dir")
    enrol(world, token)
    status = wait_until(
        lambda: (found := world.agent_command("status")["link"])["last_error"] and found, timeout_s=20, what="a refusal"
    )
    assert status["state"] == "unenrolled"
    assert "E_TOKEN_USED" in status["last_error"]
    assert len(world.operator("agents")["agents"]) == 1


def test_a052_a_master_with_a_certificate_of_another_authority_is_not_spoken_to(world, tmp_path):
    other = tmp_path / "other"
    subprocess.run(
        [BIN / "mosalama-master", "init", "--dir", other, "--host", "127.0.0.1"], check=True, capture_output=True
    )
    enrol(world, ca_file=str(other / "ca.pem"))
    status = wait_until(
        lambda: (found := world.agent_command("status")["link"])["last_error"] and found, timeout_s=20, what="a refusal"
    )
    assert "CERTIFICATE_VERIFY_FAILED" in status["last_error"]
    assert world.operator("agents")["agents"] == []


def test_a058_a_token_with_another_pin_is_not_believed(world):
    token = world.operator("token", "create")["token"]
    head, pin = token.rsplit(".", 1)
    changed = f"{head}.{'A' * (len(pin) - 1)}{pin[-1] if pin[-1] in 'AQgw' else 'A'}"
    enrol(world, changed)
    status = wait_until(
        lambda: (found := world.agent_command("status")["link"])["last_error"] and found, timeout_s=20, what="a refusal"
    )
    assert "cannot be believed" in status["last_error"] or "refused" in status["last_error"]


def test_a_revoked_agent_is_turned_away_and_asks_only_rarely(world):
    enrol(world)
    connected(world)
    world.operator("agent", "revoke", world.agent_id)
    status = wait_until(
        lambda: (found := world.agent_command("status")["link"])["state"] == "deregistered" and found,
        timeout_s=20,
        what="the agent knows",
    )
    assert status["next_try_at"] > 0


def test_commands_wait_for_an_agent_that_is_away(world):
    enrol(world)
    connected(world)
    world.kill_agent()
    waiting = [drain(world, enabled=bool(number % 2)) for number in range(3)]
    assert {world.operator("command", "show", name)["state"] for name in waiting} <= {"queued", "sent"}
    world.start_agent()
    assert [ended(world, name)["state"] for name in waiting] == ["done"] * 3


@pytest.mark.timeout(120 + 10 * ROUNDS)
def test_kills_of_either_side_lose_and_double_nothing(world):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    enrol(world)
    connected(world)
    sent = []
    for _ in range(ROUNDS):
        sent += [drain(world, enabled=rng.random() < 0.5) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.5:
            world.kill_agent()
            world.start_agent()
        else:
            world.master.signal(signal.SIGKILL)
            world.master.wait()
            world.master.stop()
            world.start_master()
        connected(world)
    rows = [ended(world, name) for name in sent]
    assert [row["state"] for row in rows] == ["done"] * len(sent)
    lines = (world.folder / "log_dir" / "mosalamaagent.log").read_text().splitlines()
    ends = [json.loads(line)["command_id"] for line in lines if '"command.ended"' in line]
    assert sorted(ends) == sorted(sent), "each command has exactly one end on the agent"


def tls():
    return ssl._create_unverified_context()


def http_status(world, path, headers=None, body=None):
    connection = http.client.HTTPSConnection("127.0.0.1", world.port, context=tls(), timeout=10)
    try:
        connection.request("POST" if body is not None else "GET", path, body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c", "Basic x"])
def test_a059_an_upgrade_without_a_good_token_is_refused_before_there_is_a_socket(world, token):
    headers = {"Authorization": token, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert http_status(world, "/v1/link", headers | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}) == 401


def test_a009_rubbish_at_the_enrollment_door_is_refused_and_the_token_stays(world):
    assert http_status(world, "/v1/enrol", body=b"rubbish") == 400
    assert http_status(world, "/v1/enrol", body=b"x" * 70_000) == 413
    enrol(world)
    connected(world)


def test_a051_old_tls_is_refused(world):
    context = tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection("127.0.0.1", world.port, context=context, timeout=10)
    connection.request("GET", "/nothing")
    assert connection.getresponse().status == 404
    connection.close()


def test_a_second_daemon_on_the_same_state_is_refused(world):
    enrol(world)
    second = subprocess.run(
        [BIN / "mosalamaagent", "run", "--config", world.config_file],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 75
    assert "another mosalamaagent runs" in second.stderr
    with pytest.raises(StepFailedError):
        world.operator(
            "engine", "start", "nobody", "--name", "x", "--kind", "vllm", "--image", "a/b:c", "--model", "hf://o/r"
        )


def test_a_key_is_rotated_by_command_and_the_machine_keeps_its_name(world):
    enrol(world)
    (before,) = connected(world)
    label = (world.folder / "state_dir" / "label").read_text()
    row = ended(world, world.operator("agent", "rotate", world.agent_id)["command_id"])
    assert row["state"] == "done"
    (after,) = wait_until(
        lambda: (found := world.operator("agents")["agents"])[0]["kid"] == row["result"]["data"]["key"] and found,
        timeout_s=20,
        what="the new key is proved by a session",
    )
    assert after["kid"] != before["kid"]
    assert after["next_kid"] is None
    connected(world)
    assert ended(world, drain(world))["state"] == "done"
    world.kill_agent()
    world.start_agent()
    connected(world)
    assert (world.folder / "state_dir" / "label").read_text() == label
