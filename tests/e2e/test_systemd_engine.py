"""A whole agent under a real systemd: what it manages serves on while it is killed, hangs, is stopped and comes back.

The master, the hub and the Docker Engine are beside the machine; the engine was started by the agent, on command.
"""

import json
import time

import pytest

from tests.bed import installed, serving, systemd_image
from tests.bed.demo_world import World
from tests.bed.places import short_folder
from tests.bed.processes import wait_until
from tests.bed.systemd_machine import SystemdMachine

UNIT = "mosalamaagent.service"
CONFIG = "/etc/mosalamaagent/config.yaml"
COMMAND = f"{installed.PLACE}/.venv/bin/mosalamaagent"
LABEL = "mosalama.engine"
ENGINE = "under-systemd"
BACK_S = 60

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180, func_only=True)]


@pytest.fixture(scope="module")
def models(docker_engine):
    """A folder of the same path here and in the machine, as Docker resolves paths here."""
    folder = short_folder()
    yield folder
    folder.rmdir()


@pytest.fixture(scope="module")
def machine(docker_engine, models, tmp_path_factory):
    mounts = installed.install(tmp_path_factory.mktemp("opt")) | {models: (str(models), "rw")}
    with SystemdMachine(docker_engine.host, systemd_image.ensure_image(docker_engine.host), mounts=mounts) as one:
        drop_in = f"[Service]\nWatchdogSec=5\nRestartSec=200ms\nBindPaths={models}\n"
        one.write(f"/etc/systemd/system/{UNIT}.d/test.conf", drop_in)
        one.run("systemctl", "daemon-reload")
        one.sh(f"chown mosalamaagent:mosalamaagent {models} && chmod 755 {models}")
        yield one
        one.sh(f"systemctl stop {UNIT}; cd {models} && rm -rf ..?* .[!.]* *")


@pytest.fixture(scope="module")
def world(docker_engine, tmp_path_factory):
    """A master beside the machine."""
    one = World(tmp_path_factory.mktemp("world"), docker_engine.host)
    one.operator("init", "--host", "127.0.0.1")
    one.start_master()
    yield one
    one.close()


@pytest.fixture(scope="module")
def managed(machine, world, docker_engine, hub, llama_image, models):
    """Facts of an engine that the agent in the machine brought the model for, started, and manages."""
    model = hub.add_tiny_gguf("systemd/tiny")
    machine.write("/etc/mosalamaagent/ca.pem", (world.master_dir / "ca.pem").read_text(encoding="utf-8"))
    token = world.operator("token", "create")["token"]
    machine.write("/etc/mosalamaagent/join.token", token, owner="mosalamaagent", mode="600")
    settings = {
        "link": {
            "masters": [f"https://127.0.0.1:{world.port}"],
            "ca_file": "/etc/mosalamaagent/ca.pem",
            "token_file": "/etc/mosalamaagent/join.token",
        },
        "downloads": {"models_dir": str(models), "hub_url": hub.url, "allow_private_hosts": ["127.0.0.1"]},
        "policy": {"images": [llama_image]},
    }
    machine.write(CONFIG, json.dumps(settings), owner="root:mosalamaagent", mode="640")
    started = machine.run("systemctl", "start", UNIT)
    assert started.code == 0, machine.journal(UNIT)
    agent = wait_until(lambda: connected(world), timeout_s=60, what="the master sees the agent")
    world.operator("model", "pull", agent, model, "--wait", timeout_s=120)
    words = ["--name", ENGINE, "--kind", "llamacpp", "--image", llama_image, "--model", model]
    try:
        world.operator("engine", "start", agent, *words, "--context-length", "512", "--wait", timeout_s=120)
        yield ready(machine)
    finally:
        machine.run("systemctl", "stop", UNIT)
        with docker_engine.client() as client:
            for container in client.containers.list(all=True, filters={"label": f"{LABEL}={ENGINE}"}):
                container.remove(force=True, v=True)


@pytest.fixture
def service(machine, managed):
    """The service, active."""
    machine.run("systemctl", "reset-failed", UNIT)
    assert machine.run("systemctl", "start", UNIT).code == 0, machine.journal(UNIT)
    return machine


def connected(world):
    agents = world.operator("agents")["agents"]
    return next((agent["agent_id"] for agent in agents if agent["connected"]), None)


def facts(machine):
    """What the agent says of its engine; None while it does not answer."""
    said = machine.run(COMMAND, "engines", "--json", "--config", CONFIG)
    engines = json.loads(said.text)["engines"] if said.code == 0 else []
    return next((engine for engine in engines if engine["name"] == ENGINE), None)


def ready(machine):
    def look():
        engine = facts(machine)
        return engine if engine and engine["state"] == "ready" else None

    return wait_until(look, timeout_s=BACK_S, what="the engine is ready")


def back_while_serving(machine, managed, pid):
    """The engine's facts as a new daemon tells them; it answered each time it was asked meanwhile."""
    end = time.monotonic() + BACK_S
    while time.monotonic() < end:
        assert serving.complete(managed["endpoint"])
        if machine.main_pid(UNIT) not in {0, pid} and (machine.show(UNIT, "SubState")["SubState"] == "running"):
            return ready(machine)
    pytest.fail(f"not back\n{machine.journal(UNIT)[-3000:]}")


@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_killed_or_hung_the_daemon_is_back_and_adopts_what_served_throughout(service, managed, number):
    pid = service.main_pid(UNIT)
    service.run("kill", f"-{number}", str(pid))
    after = back_while_serving(service, managed, pid)
    assert after["container_id"] == managed["container_id"]
    assert serving.complete(managed["endpoint"])


def test_stopped_the_daemon_leaves_the_engine_serving_and_adopts_it_at_the_next_start(service, managed):
    assert service.run("systemctl", "stop", UNIT).code == 0
    assert service.show(UNIT, "Result")["Result"] == "success"
    assert serving.complete(managed["endpoint"])
    assert service.run("systemctl", "start", UNIT).code == 0
    assert ready(service)["container_id"] == managed["container_id"]


def test_the_daemon_reads_what_it_needs_under_its_restrictions(service, managed):
    said = service.run(COMMAND, "metrics", "--json", "--config", CONFIG)
    assert said.code == 0, said.text
    assert json.loads(said.text)["host"]
    log = service.sh("cat /var/log/mosalamaagent/*").text
    assert "Permission denied" not in log
