"""Alerts at a real master from their first sample to their end: an engine out of memory, a collector that stands, GPUs.

Real daemon, real master, real Docker for the engine; GPUs from the stand-in for the driver's library.
"""

import contextlib
import http.server
import json
import shlex
import shutil
import socketserver
import threading
import uuid
from contextlib import contextmanager

import pytest
import yaml

from tests.bed.demo_world import World
from tests.bed.places import short_folder
from tests.bed.processes import wait_until
from tests.e2e.test_alerts import Ping, figures, in_time, story, told
from tests.e2e.test_master_and_link import connected, enrol
from tests.fakes.nvml.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
LIMIT_BYTES = 96 << 20


@contextmanager
def world_at(docker_host=""):
    folder = short_folder()
    made = World(folder, docker_host or f"unix://{folder}/docker.sock")
    made.operator("init", "--host", "127.0.0.1")
    made.start_master()
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def changed(world, **sections):
    """The agent anew, with other settings."""
    settings = yaml.safe_load(world.config_file.read_text())
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    world.write_config(settings)
    world.agent.stop()
    world.start_agent()
    return connected(world)[0]["agent_id"]


def of(world, rule):
    """Every row of a rule at the master, whatever its state."""
    return [row for row in world.operator("alerts")["alerts"] if row["rule"] == rule]


def test_an_engine_that_the_kernel_kills_for_memory_is_one_alert_and_its_stop_the_end(
    docker_engine, odd_image, hub, tmp_path
):
    model = hub.add_tiny_gguf("alerts/tiny")
    with world_at(docker_engine.host) as world:
        enrol(world)
        agent = changed(
            world,
            downloads={"hub_url": hub.url, "allow_private_hosts": ["127.0.0.1"]},
            policy={"images": [odd_image]},
            metrics={"gpu": False, "container_interval_s": 0.5},
        )
        world.operator("model", "pull", agent, model, "--wait", timeout_s=60)
        spec = {
            "kind": "llamacpp",
            "image": odd_image,
            "model": {"uri": model},
            "memory_bytes": LIMIT_BYTES,
            "env": {"LLAMA_ARG_ODD": "eat=64"},
        }
        (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
        try:
            world.operator("engine", "start", agent, "--name", "hungry", "--spec", tmp_path / "spec.yaml")
            firing = in_time(told(world, "engine_oom", timeout_s=60))
            assert (firing["severity"], firing["labels"]) == ("critical", {"engine": "hungry"})
            wait_until(
                lambda: world.engine("hungry")["restarts"] >= 2, timeout_s=60, what="it is killed again and again"
            )
            assert [row["sequence"] for row in of(world, "engine_oom")] == [firing["sequence"]], "it is told once"
        finally:
            world.operator("engine", "stop", agent, "hungry", "--wait", timeout_s=60)
        begun = lines_of(world, "engine.start")
        assert {"command.received", "command.accepted", "engine.state", "command.ended"} <= begun.keys()
        assert begun["engine.state"]["state"] == "starting"
        assert {"command.received", "transfer.began", "transfer.ended", "command.ended"} <= lines_of(
            world, "model.pull"
        ).keys()
        assert lines_of(world, "engine.stop")["engine.state"]["state"] == "draining"
        over = told(world, "engine_oom", "resolved")
        assert (over["fingerprint"], over["starts_at_ms"]) == (firing["fingerprint"], firing["starts_at_ms"])
        assert len(of(world, "engine_oom")) == 1
        assert story(world, "engine_oom") == {"hungry": ["firing", "resolved"]}


def lines_of(world, command):
    """Event -> its first line in the agent's log, of those that carry the id of a command."""
    text = (world.folder / "log_dir" / "mosalamaagent.log").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    (received,) = [line for line in lines if line["event"] == "command.received" and line["command"] == command]
    mine = [line for line in lines if line.get("command_id") == received["command_id"]]
    return {line["event"]: line for line in reversed(mine)}


@contextmanager
def docker_that_may_stand(path):
    """Docker's `_ping`, answered only while the gate that is given is open."""
    gate = threading.Event()
    gate.set()

    class Gated(Ping, http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            gate.wait(60)
            with contextlib.suppress(OSError):  # who asked may be gone by now
                super().do_GET()

    server = socketserver.ThreadingUnixStreamServer(str(path), Gated)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def stands_and_goes_on(world, gate):
    """The thread that asks Docker and the engines stands until the gate opens: one alert for each of the two."""
    wait_until(lambda: figures(world).get("host.docker_up") == 1, timeout_s=30, what="Docker is up")
    gate.clear()
    firing = in_time(told(world, "collector_stale"))
    assert firing["severity"] == "warning"
    gate.set()
    over = wait_until(lambda: ended(world, firing), timeout_s=30, what="its end")
    assert over["starts_at_ms"] == firing["starts_at_ms"]
    alerts = story(world, "collector_stale")
    assert firing["labels"]["collector"] in alerts.keys() <= {"docker", "engines"}, "who has another thread goes on"
    assert all(states == ["firing", "resolved"] for states in alerts.values()), alerts


def ended(world, firing):
    """The alert's row once every one of its rule is over."""
    rows = {row["fingerprint"]: row for row in of(world, firing["rule"])}
    return rows[firing["fingerprint"]] if {row["state"] for row in rows.values()} == {"resolved"} else None


def booted_as(world, boot_id):
    """What starts the agent as if after a boot of that id: in a mount namespace of its own."""
    file = world.folder / "boot_id"
    file.write_text(f"{boot_id}\n")
    mount = f"mount --bind {shlex.quote(str(file))} /proc/sys/kernel/random/boot_id"
    program = " ".join(shlex.quote(str(word)) for word in world.agent_program)
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{mount} && exec {program} "$@"', "agent"]


def test_a_fatal_event_ends_with_the_next_boot_a_lost_gpu_with_its_return_and_a_collector_that_stands_with_its_look():
    with world_at() as world, docker_that_may_stand(world.folder / "docker.sock") as gate:
        machine = Machine(world.folder / "gpus")
        world.environment |= machine.environment()
        enrol(world)
        paces = dict.fromkeys(("docker_interval_s", "engine_interval_s", "disk_interval_s"), 1.0)
        changed(world, metrics={"page_timeout_s": 30.0, **paces})
        (agent,) = connected(world)
        first, _ = agent["inventory"]["gpu.uuids"]
        wait_until(lambda: f"gpu.{first}.temperature_c" in figures(world), timeout_s=30, what="figures of the GPU")
        machine.xid(0, 79)
        fatal = in_time(told(world, "gpu_xid_fatal"))
        machine.gpu(0, lost=1)
        lost = in_time(told(world, "gpu_lost"))

        world.agent.stop()
        machine.gpu(0, lost=0)
        world.agent_program = booted_as(world, uuid.uuid4())
        world.start_agent()
        over = told(world, "gpu_xid_fatal", "resolved")
        assert (over["fingerprint"], over["starts_at_ms"]) == (fatal["fingerprint"], fatal["starts_at_ms"])
        stands_and_goes_on(world, gate)  # meanwhile: the GPU has to be back for a minute
        back = told(world, "gpu_lost", "resolved", timeout_s=120)
        assert (back["fingerprint"], back["starts_at_ms"]) == (lost["fingerprint"], lost["starts_at_ms"])
        for rule in ("gpu_xid_fatal", "gpu_lost"):
            assert len(of(world, rule)) == 1
            assert story(world, rule) == {first: ["firing", "resolved"]}
