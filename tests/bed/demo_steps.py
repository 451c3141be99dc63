"""What the demo does, step by step; each step returns what was seen, or raises with what was expected."""

import argparse
import os
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bed.demo_engines import ENGINES, DemoEngine
from tests.bed.demo_report import Report, StepFailedError
from tests.bed.demo_world import World
from tests.bed.hub import LocalHub
from tests.bed.processes import wait_until

ENGINE = "demo"
GIB, MIB = 1 << 30, 1 << 20
PROMPT = "What is a node agent?"
LABEL = "mosalama.agent"


@dataclass(frozen=True)
class Parts:
    """What the engine needs, and in words where it came from."""

    engine: DemoEngine
    image: str
    model: str
    hub: str | None
    said: str


def bring_parts(stack: ExitStack, world: World, arguments: argparse.Namespace) -> Parts:
    """The engine image, and the model behind a hub: the real ones when asked for, else made here."""
    engine = ENGINES[arguments.engine]
    image = arguments.image or engine.image(world.docker_host)
    if arguments.model:
        said = f"image {image}\nmodel {arguments.model} from the real hub"
        return Parts(engine, image, arguments.model, None, said)
    hub = stack.enter_context(LocalHub(world.folder / "hub"))
    model = engine.model(hub)
    said = f"Docker at {world.docker_host}\nimage {image}\nmodel {model} at {hub.url}"
    return Parts(engine, image, model, hub.url, said)


def start_master(world: World, _parts: Parts, _report: Report) -> str:
    """Keys, keyset, certificate authority and certificate by one command; then serve."""
    world.operator("init", "--host", "127.0.0.1")
    world.start_master()
    return f"serving TLS on 127.0.0.1:{world.port}"


def enroll_agent(world: World, parts: Parts, _report: Report) -> str:
    """One-use token; the agent starts, makes its key, enrolls, and is seen with its hardware."""
    token = world.operator("token", "create")["token"]
    token_file = world.folder / "join.token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    world.write_config(agent_settings(world, parts, token_file))
    world.start_agent()
    world.label = world.agent_command("status")["agent"]["label"]
    agents = wait_until(
        lambda: [agent for agent in world.operator("agents")["agents"] if agent["connected"]],
        timeout_s=30.0,
        what="the master sees the agent",
    )
    world.agent_id = agents[0]["agent_id"]
    inventory = agents[0].get("inventory") or {}
    if not inventory:
        raise StepFailedError("the agent did not report its hardware")
    memory_gib = inventory["memory.total_bytes"] / GIB
    return f"agent {world.agent_id}\n{inventory['cpu.count']} cores, {memory_gib:.1f} GiB, {inventory['cpu.model']}"


def agent_settings(world: World, parts: Parts, token_file: Path) -> dict[str, Any]:
    """The agent's configuration: everything in the demo's folder, everything else at its default."""
    folder = world.folder
    settings: dict[str, Any] = {
        "paths": {
            "state_dir": str(folder / "state"),
            "run_dir": str(folder / "run"),
            "log_dir": str(folder / "log"),
        },
        "log": {"level": "debug"},
        "link": {
            "masters": [f"https://127.0.0.1:{world.port}"],
            "ca_file": str(world.master_dir / "ca.pem"),
            "token_file": str(token_file),
            "first_retry_max_s": 1.0,
            "retry_max_s": 3.0,
        },
        "downloads": {"models_dir": str(folder / "models")},
        "engines": {"docker_host": world.docker_host},
        "api": {"port": 0},
        "policy": {"images": [parts.image], "extra_args": list(parts.engine.extra_args)},
    }
    if parts.hub:
        settings["downloads"] |= {"hub_url": parts.hub, "allow_private_hosts": ["127.0.0.1"]}
    return settings


def pull_model(world: World, parts: Parts, _report: Report) -> str:
    """Through the master, with a progress bar; the version in the store is complete and verified."""
    world.operator_live("model", "pull", world.agent_id, parts.model, "--wait", timeout_s=900.0)
    models = world.agent_command("models")["models"]
    if not models:
        raise StepFailedError("the store is empty after a pull that was told to be done")
    return "\n".join(f"{model['model']} {model['revision'][:12]} {model['size_bytes']} bytes" for model in models)


def start_engine(world: World, parts: Parts, _report: Report) -> str:
    """Its container, waited for until ready, and a chat completion from it."""
    words = [
        "engine",
        "start",
        world.agent_id,
        "--name",
        ENGINE,
        "--kind",
        parts.engine.kind,
        "--image",
        parts.image,
    ]
    words += ["--model", parts.model, "--served-name", ENGINE, *parts.engine.words, "--wait"]
    world.operator(*words, timeout_s=300.0 + parts.engine.ready_s)
    facts = world.wait_engine(ENGINE, lambda engine: engine["state"] == "ready", "the engine is ready", 60.0)
    text = world.chat(facts["endpoint"], PROMPT)
    return f"{facts['endpoint']} says: {text!r}"


def show_metrics(world: World, _parts: Parts, _report: Report) -> str:
    """Host, container and engine figures as the agent reports them."""

    def complete() -> dict[str, Any] | None:
        snapshot: dict[str, Any] = world.agent_command("metrics")
        ready = snapshot.get("host") and ENGINE in snapshot.get("containers", {})
        # The first look at its page may have come before it served.
        return snapshot if ready and snapshot.get("engines", {}).get(ENGINE, {}).get("generated_tokens_total") else None

    snapshot = wait_until(complete, timeout_s=30.0, what="figures of host, container and engine")
    wait_until(
        lambda: world.operator("metrics", world.agent_id) or None,
        timeout_s=30.0,
        what="a report at the master",
    )
    host, engine = snapshot["host"], snapshot["engines"][ENGINE]
    container, busy = snapshot["containers"][ENGINE], host.get("cpu.busy")
    total, free = host["memory.total_bytes"], host["memory.available_bytes"]
    said = f"host: {'?' if busy is None else f'{busy:.0%}'} busy, load {host['load1']}"
    said += f", {(total - free) / GIB:.1f} of {total / GIB:.1f} GiB in use\n"
    said += f"container: {container['memory_bytes'] / MIB:.0f} MiB, {container['cpu_s_total']:.1f} s of CPU\n"
    said += f"engine: {engine['generated_tokens_total']:.0f} tokens generated"
    return f"{said}, {engine['running']:.0f} requests running, {engine['waiting']:.0f} waiting"


def kill_engine(world: World, parts: Parts, _report: Report) -> str:
    """SIGKILL to the engine's container: back and serving, with the reason among the events."""
    before = world.engine(ENGINE)
    assert before is not None
    _docker(world, "kill", before["container_id"])

    def back(engine: dict[str, Any]) -> bool:
        return bool(engine["state"] == "ready" and engine["restarts"] > before["restarts"])

    after = world.wait_engine(ENGINE, back, "the engine is back", parts.engine.ready_s)
    text = world.chat(after["endpoint"], PROMPT)
    if not text:
        raise StepFailedError("the engine is back and says nothing")
    reasons = [
        event["text"]
        for event in world.agent_command("events")["events"]
        if event["subject"].endswith(ENGINE) and "137" in event["text"]
    ]
    if not reasons:
        raise StepFailedError("no event says why the engine died")
    return f"restarts {before['restarts']} -> {after['restarts']}; reason told: {reasons[-1]}"


def ask_the_machine(world: World, _parts: Parts, _report: Report) -> str:
    """What a person at the machine asks the running daemon: why, what, the last words, and whether all is well."""
    wanted = {
        ("engine", "explain", ENGINE): ("serves.", "What was tried", "exit 137 (SIGKILL)"),
        ("engine", "show", ENGINE): ("container_id", "restarts", "deaths kept"),
        ("engine", "logs", ENGINE, "--lines", "20"): ("\n",),
        ("doctor",): (f"engine {ENGINE}", "docker", "it answers", "connected to"),
    }
    said = {}
    for words, expected in wanted.items():
        said[words] = world.agent_words(*words, ends=(0, 1) if words == ("doctor",) else (0,))
        absent = [part for part in expected if part not in said[words]]
        if absent:
            raise StepFailedError(f"{' '.join(words)} does not say {absent}: {said[words][-1_500:]}")
    return said["engine", "explain", ENGINE].strip()


class Witness:
    """Asks the engine without a pause until stopped: what failed while the daemon was away."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._stop = threading.Event()
        self.answers = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            try:
                with urllib.request.urlopen(f"{self._endpoint}/health", timeout=5) as answer:
                    answer.read()
                self.answers += 1
            except OSError as error:
                self.failures.append(str(error))

    def stop(self) -> None:
        """No more questions."""
        self._stop.set()
        self._thread.join(10)


def kill_daemon(world: World, _parts: Parts, _report: Report) -> str:
    """SIGKILL to the daemon: the engine answers throughout, the new daemon adopts it, the master sees it."""
    before = world.engine(ENGINE)
    assert before is not None
    witness = Witness(before["endpoint"])
    world.kill_agent()
    world.start_agent()
    after = world.wait_engine(ENGINE, lambda engine: engine["state"] == "ready", "the engine is adopted", 60.0)
    wait_until(lambda: _connected(world), timeout_s=60.0, what="the master sees the agent again")
    witness.stop()
    if witness.failures or not witness.answers:
        raise StepFailedError(f"the engine failed {len(witness.failures)} times: {witness.failures[:3]}")
    if after["container_id"] != before["container_id"]:
        raise StepFailedError("the new daemon replaced the container instead of adopting it")
    return f"{witness.answers} answers, 0 failures; adopted container {after['container_id'][:12]}"


def restart_master(world: World, parts: Parts, _report: Report) -> str:
    """SIGKILL to the master with a command in flight and events to come: none lost, none done twice."""
    assert world.master is not None
    known = {event["event_id"] for event in world.operator("events")["events"]}
    world.master.signal(signal.SIGKILL)
    world.master.wait()
    world.master.stop()
    before = world.engine(ENGINE)
    assert before is not None
    _docker(world, "kill", before["container_id"])
    world.wait_engine(
        ENGINE,
        lambda engine: engine["state"] == "ready" and engine["restarts"] > before["restarts"],
        "the engine is repaired while the master is away",
        parts.engine.ready_s,
    )
    world.start_master()
    wait_until(lambda: _connected(world), timeout_s=90.0, what="the agent is connected again")
    result = world.operator(
        "engine", "restart", world.agent_id, ENGINE, "--wait", timeout_s=60.0 + parts.engine.ready_s
    )
    events = wait_until(lambda: _told(world, known), timeout_s=60.0, what="the events of the time between")
    ids = [event["event_id"] for event in world.operator("events")["events"]]
    if len(ids) != len(set(ids)):
        raise StepFailedError("the master was told an event twice")
    return f"command {result['state']}; {len(events)} events of the time between arrived, none twice"


def _told(world: World, known: set[str]) -> list[Any]:
    new = [event for event in world.operator("events")["events"] if event["event_id"] not in known]
    return new if any("137" in event["text"] for event in new) else []


def _connected(world: World) -> bool:
    return any(
        agent["agent_id"] == world.agent_id and agent["connected"] for agent in world.operator("agents")["agents"]
    )


def page(world: World) -> str:
    """The address of the local status page."""
    return str(world.agent_command("status").get("page", ""))


def remove_containers(world: World) -> None:
    """Remove the engine containers that this demo's agent made, and no other."""
    if not world.label:
        return
    listed = _docker(world, "ps", "-aq", "--filter", f"label={LABEL}={world.label}").split()
    for container in listed:
        _docker(world, "rm", "-f", container)


def keep_logs(world: World, target: Path) -> None:
    """Copy what the programs said beside the summary."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (*world.folder.glob("*.log"), *world.folder.glob("log/*.log")):
        shutil.copy(file, target / file.name)


def _docker(world: World, *words: str) -> str:
    done = subprocess.run(
        ["docker", *words],
        env=dict(os.environ) | {"DOCKER_HOST": world.docker_host},
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    if done.returncode:
        raise StepFailedError(f"docker {' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout


STEPS: tuple[tuple[str, Callable[[World, Parts, Report], str]], ...] = (
    ("master: TLS, its own keys and state", start_master),
    ("agent: enrolled with a one-use token", enroll_agent),
    ("model: pulled and verified through the master", pull_model),
    ("engine: started, ready, and it speaks", start_engine),
    ("metrics: host, container, engine", show_metrics),
    ("fault: the engine's container is killed", kill_engine),
    ("the machine's own commands: explain, show, logs, doctor", ask_the_machine),
    ("fault: the daemon is killed with SIGKILL", kill_daemon),
    ("fault: the master is killed and comes back", restart_master),
)
