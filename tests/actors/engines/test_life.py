"""One engine's whole life on a real Docker Engine with a real llama-server."""

import json
import time
import urllib.request
from pathlib import Path

import pytest

from actors.engines.containers import DockerContainers
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.manager.actor import ManagerActor
from actors.engines.ports import Ports
from actors.engines.probe import look
from actors.facts import EnginesChanged, LocalModel
from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.supervision.spec import ChildSpec, Strategy, SupervisorSpec
from actors.supervision.system import System
from config.engines import EnginesSettings
from config.journal import JournalSettings
from config.policy import PolicySettings
from protocol.messages.commands import EngineRestart, EngineStart, EngineStop
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import CommandResult
from tests.bed import tiny_gguf
from tests.bed.processes import wait_until
from tests.fakes.listener import Listener

pytestmark = pytest.mark.timeout(120)
WAIT_S = 40.0


class OneFolder:
    """A model store with one version: the folder it is given."""

    def __init__(self, folder: Path, file: str) -> None:
        self.model = LocalModel("org/tiny", "c" * 40, str(folder), (file,), (folder / file).stat().st_size)
        self.leases: set[str] = set()

    def lease(self, source, holder):
        if source.model != "org/tiny":
            return None
        self.leases.add(holder)
        return self.model

    def release(self, holder):
        self.leases.discard(holder)


class Bench:
    """A journal and the engines' part of the tree; everything else only listens."""

    def __init__(self, folder: Path, host: str, image: str, models: OneFolder, label: str) -> None:
        self.observer, self.link = Listener("/observer"), Listener("/link")
        self.image, self.models, self.label = image, models, label
        self.containers = DockerContainers(EnginesSettings(docker_host=host))
        settings = EnginesSettings(docker_host=host, port_min=19_000, port_max=19_200)
        self.ports = Ports(settings)
        held: list[System] = []

        def handle(path):
            return held[0].handle(path)

        def manager():
            return ManagerActor(
                settings=settings,
                policy=PolicySettings(images=(image, "absent/image:v1")),
                kinds=known_kinds(),
                containers=self.containers,
                look=look,
                models=models,
                ports=self.ports,
                machine=Machine(2.0, 1 << 34),
                agent_id=label,
                replicas=handle("/root/replicas"),
                replica=lambda name: handle(f"/root/replicas/{name}"),
                journal_handle=handle("/root/journal"),
                observers=(self.observer,),
                wall=time.time,
            )

        def ledger():
            engines = handle("/root/manager")
            return JournalActor(
                file=folder / "journal.sqlite",
                settings=JournalSettings(),
                routes={"engine": engines},
                link=self.link,
                wall=time.time,
            )

        held.append(
            System(
                SupervisorSpec(
                    children=(
                        ChildSpec("journal", ledger),
                        ChildSpec("replicas", SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=100)),
                        ChildSpec("manager", manager),
                    )
                )
            )
        )
        self.system = held[0]
        self.system.start()
        self.journal = handle("/root/journal")
        self.manager = handle("/root/manager")

    def spec(self, **fields):
        given = {"kind": "llamacpp", "image": self.image, "model": ModelSource(uri="hf://org/tiny")}
        given |= {"context_length": 512, "parallel": 1, "cpus": 1.0, "memory_bytes": 512 << 20}
        given |= {"restart": {"backoff_min_s": 0.1, "attempts": 2}}
        return EngineSpec(**(given | fields))

    def send(self, number, command):
        command_id = f"{number:032x}"
        from tests.actors.journal.test_actor import signed

        known = signed(number, command)
        self.journal.tell(journal.Accept(known, number, False, self.link))
        return command_id

    def result(self, command_id):
        def look():
            rows = self.journal.call(journal.ReadOutbox(0, 1_000))
            found = [row.message for row in rows if isinstance(row.message, CommandResult)]
            return next((message for message in found if message.command_id == command_id), None)

        return wait_until(look, timeout_s=WAIT_S, what=f"the result of {command_id}")

    def facts(self, name="chat"):
        changes = self.observer.of(EnginesChanged)
        return next((engine for engine in changes[-1].engines if engine.name == name), None) if changes else None

    def wait(self, condition, what):
        return wait_until(
            lambda: (facts := self.facts()) is not None and condition(facts) and facts, timeout_s=WAIT_S, what=what
        )

    def events(self):
        return [event.kind for event in self.journal.call(journal.RecentEvents(100))]

    def close(self, *, remove=True):
        self.system.stop()
        if remove:
            for seen in self.containers.find(self.label):
                self.containers.remove(seen.container_id)


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "model"
    tiny_gguf.write(folder / "tiny.gguf")
    folder.chmod(0o755)
    (folder / "tiny.gguf").chmod(0o644)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    return OneFolder(folder, "tiny.gguf")


@pytest.fixture
def bench(tmp_path, docker_engine, llama_image, models):
    made = Bench(tmp_path, docker_engine.host, llama_image, models, f"test-{time.monotonic_ns()}")
    yield made
    made.close()


def start(bench, number=1, **fields):
    command_id = bench.send(number, EngineStart(name="chat", generation=number, spec=bench.spec(**fields)))
    result = bench.result(command_id)
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def chat(facts):
    body = {"model": "x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{facts.endpoint}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def test_an_engine_starts_serves_dies_comes_back_and_stops(bench):
    first = start(bench)
    assert chat(first)
    bench.containers.signal(first.container_id, "SIGKILL")
    second = bench.wait(lambda facts: facts.state == "ready" and facts.restarts == 1, "back after a kill")
    assert second.container_id != first.container_id
    assert chat(second)
    assert any("exit 137" in attempt for attempt in second.attempts)
    stopped = bench.result(bench.send(2, EngineStop(name="chat", generation=2, drain_s=0.0)))
    assert stopped.state == "done"
    assert not bench.containers.find(bench.label)
    assert not bench.models.leases
    assert {"engine.ready", "engine.died", "engine.stopped"} <= set(bench.events())


def test_the_hardening_is_what_docker_says_too(bench, docker_engine):
    facts = start(bench)
    with docker_engine.client() as client:
        raw = client.api.inspect_container(facts.container_id)
    host = raw["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 4_096
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert not host["Privileged"]
    assert raw["Config"]["User"] == "65532:65532"
    assert [mount["RW"] for mount in raw["Mounts"] if mount["Type"] == "bind"] == [False]


def test_a_new_daemon_adopts_what_runs(bench, tmp_path, docker_engine, llama_image, models):
    first = start(bench)
    bench.close(remove=False)
    again = Bench(tmp_path, docker_engine.host, llama_image, models, bench.label)
    try:
        adopted = again.wait(lambda facts: facts.state == "ready", "adopted")
        assert adopted.container_id == first.container_id
        assert "engine.adopted" in again.events()
    finally:
        again.close()


def test_a_container_that_somebody_removed_is_made_again(bench):
    first = start(bench)
    bench.containers.remove(first.container_id)
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "made again")
    assert chat(second)


def test_a_model_that_cannot_be_read_is_given_up_loudly_and_not_retried(bench, models):
    Path(models.model.directory, "tiny.gguf").write_bytes(b"GGUFnonsense" * 100)
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec())))
    assert result.state == "failed"
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert len(facts.attempts) == 1
    assert facts.next_try_at is not None
    assert "engine.gave_up" in bench.events()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"image": "evil/image:v1"}, "E_POLICY.image"),
        ({"kind": "vllm"}, "E_ENGINE"),
        ({"gpus": {"count": 1}}, "E_POLICY.device"),
        ({"memory_bytes": 1 << 40}, "E_BUSY"),
        ({"image": "absent/image:v1"}, "E_ENGINE"),
        ({"model": ModelSource(uri="hf://org/absent")}, "E_ENGINE"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(bench, fields, code):
    result = bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec(**fields))))
    assert result.state == "failed"
    assert result.error.code == code, result.error
    assert result.error.why
    assert not bench.containers.find(bench.label)


def test_a022_an_older_generation_is_stale(bench):
    start(bench, 5)
    result = bench.result(bench.send(6, EngineStop(name="chat", generation=4)))
    assert result.error.code == "E_STALE"
    assert bench.facts().state == "ready"


def test_a_restart_by_command_gives_another_container(bench):
    first = start(bench)
    result = bench.result(bench.send(2, EngineRestart(name="chat", generation=1, drain_s=0.0)))
    assert result.state == "done"
    second = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "another")
    assert chat(second)


def test_a_new_generation_that_does_not_run_is_rolled_back(bench):
    first = start(bench)
    broken = bench.spec(image="absent/image:v1")
    result = bench.result(bench.send(2, EngineStart(name="chat", generation=2, spec=broken)))
    assert result.state == "failed"
    back = bench.wait(
        lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "the last good one is back"
    )
    assert chat(back)
    assert "engine.rolled_back" in bench.events()
