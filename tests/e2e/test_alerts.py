"""Alerts from a real agent to a real master: once, over a kill of the agent, and their end."""

import http.server
import shutil
import socketserver
import threading
from contextlib import contextmanager

import pytest

from tests.bed.demo_world import World
from tests.bed.places import short_folder
from tests.bed.processes import wait_until
from tests.e2e.test_master_and_link import connected, enrol

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


def test_a_dead_docker_is_an_alert_at_the_master_once_and_its_return_the_end(world):
    enrol(world)
    connected(world)
    firing = wait_until(lambda: known(world, "firing").get("docker_down"), timeout_s=40, what="the alert")
    assert (firing["severity"], firing["labels"]) == ("critical", {"host": "host"})
    (shown,) = [alert for alert in world.agent_command("alerts")["alerts"] if alert["rule"] == "docker_down"]
    assert shown["fingerprint"] == firing["fingerprint"]
    assert shown["do"]

    world.kill_agent()
    world.start_agent()
    wait_until(lambda: world.agent_command("status")["link"]["state"] == "connected", timeout_s=30, what="the link")
    wait_until(lambda: world.agent_command("alerts")["alerts"], timeout_s=10, what="the saved set")
    with docker_at(world.folder / "docker.sock"):
        over = wait_until(lambda: known(world, "resolved").get("docker_down"), timeout_s=60, what="the end")
    assert over["fingerprint"] == firing["fingerprint"]
    assert over["starts_at_ms"] == firing["starts_at_ms"], "the restart did not raise it anew"
    assert over["sequence"] == firing["sequence"] + 1
