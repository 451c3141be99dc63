"""Alerts from a real agent to a real master: once, over a kill of the agent, and their end."""

import http.server
import json
import shutil
import socketserver
import threading
from contextlib import contextmanager

import pytest

from tests.bed.demo_world import World
from tests.bed.places import short_folder
from tests.bed.processes import wait_until
from tests.e2e.test_master_and_link import connected, enrol
from tests.fakes.nvml.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Ping(http.server.BaseHTTPRequestHandler):
    """All that a Docker Engine has to say to be up."""

    def do_GET(self):
        self.send_response(200 if self.path == "/_ping" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words):
        pass

    def address_string(self):
        return "local"


@contextmanager
def docker_at(path):
    path.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Ping)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)


@pytest.fixture
def world():
    folder = short_folder()
    made = World(folder, f"unix://{folder}/docker.sock")
    made.operator("init", "--host", "127.0.0.1")
    made.start_master()
    yield made
    made.close()
    shutil.rmtree(folder)


def known(world, state):
    """The alerts that the master knows in that state."""
    return {row["rule"]: row for row in world.operator("alerts")["alerts"] if row["state"] == state}


def told(world, rule, state="firing", timeout_s=40):
    return wait_until(lambda: known(world, state).get(rule), timeout_s=timeout_s, what=f"{rule} {state}")


def in_time(row):
    """The row of an alert that the master had within a second of the sample that shows it: with that one it begins."""
    assert 0 <= row["received_ms"] - row["starts_at_ms"] <= 1_000, row
    return row


def story(world, rule):
    """Everything that the agent ever told about a rule: subject -> states, oldest first."""
    text = (world.folder / "log_dir" / "mosalamaagent.log").read_text(encoding="utf-8")
    found = {}
    for line in map(json.loads, text.splitlines()):
        if line["event"] == "alert" and line["rule"] == rule:
            found.setdefault(line["subject"], []).append(line["state"])
    return found


def test_a_dead_docker_is_an_alert_at_the_master_once_and_its_return_the_end(world):
    enrol(world)
    connected(world)
    firing = in_time(told(world, "docker_down"))
    assert (firing["severity"], firing["labels"]) == ("critical", {"host": "host"})
    (shown,) = [alert for alert in world.agent_command("alerts")["alerts"] if alert["rule"] == "docker_down"]
    assert shown["fingerprint"] == firing["fingerprint"]
    assert shown["do"]

    world.kill_agent()
    world.start_agent()
    wait_until(lambda: world.agent_command("status")["link"]["state"] == "connected", timeout_s=30, what="the link")
    wait_until(lambda: world.agent_command("alerts")["alerts"], timeout_s=10, what="the saved set")
    with docker_at(world.folder / "docker.sock"):
        over = told(world, "docker_down", "resolved", 60)
    assert over["fingerprint"] == firing["fingerprint"]
    assert over["starts_at_ms"] == firing["starts_at_ms"], "the restart did not raise it anew"
    assert over["sequence"] == firing["sequence"] + 1, world.operator("alerts")
    assert story(world, "docker_down") == {"host": ["firing", "resolved"]}


def test_what_gpus_suffer_reaches_the_master(world):
    machine = Machine(world.folder / "gpus")
    world.environment |= machine.environment()
    enrol(world)
    (agent,) = connected(world)
    assert agent["inventory"]["gpu.count"] == 2
    first, second = agent["inventory"]["gpu.uuids"]
    wait_until(lambda: f"gpu.{first}.temperature_c" in figures(world), timeout_s=30, what="figures of the GPU")

    machine.xid(0, 79)
    fatal = in_time(told(world, "gpu_xid_fatal"))
    assert fatal["text"] == f"GPU {first}: Xid 79, the GPU has fallen off the bus"
    machine.gpu(0, lost=1)
    machine.gpu(1, ecc_uncorrectable=2)
    assert in_time(told(world, "gpu_lost"))["labels"] == {"gpu": first}
    assert told(world, "gpu_ecc_uncorrectable")["labels"] == {"gpu": second}

    machine.gpu(1, hang=1)
    hung = in_time(told(world, "gpu_driver_hung"))
    assert (hung["severity"], hung["labels"]) == ("critical", {"driver": "gpu"})
    held = {alert["rule"]: alert for alert in world.agent_command("alerts")["alerts"]}
    assert held["gpu_ecc_uncorrectable"]["follows_from"] == "gpu_driver_hung"
    machine.gpu(1, hang=0)
    over = told(world, "gpu_driver_hung", "resolved")
    assert (over["fingerprint"], over["starts_at_ms"]) == (hung["fingerprint"], hung["starts_at_ms"])
    assert story(world, "gpu_driver_hung") == {"gpu": ["firing", "resolved"]}


def figures(world):
    return world.operator("metrics", world.agent_id)
