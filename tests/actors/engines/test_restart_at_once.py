"""An engine that served is started again at once: what its start waits for, and what waits for its start."""

import json
from dataclasses import replace

import pytest

from actors.engines import messages as say
from actors.engines.breaker import Breaker
from actors.engines.containers import DockerContainers
from actors.engines.containers_api import Observed
from actors.engines.errors import DockerDownError, ImageError
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.ports import Ports
from actors.engines.probe import Health
from actors.engines.replica.actor import EngineActor
from actors.engines.replica.inquest import LATEST_S
from actors.engines.replica.world import World
from actors.journal import messages as journal
from actors.supervision.messages import TaskFailed
from config.engines import EnginesSettings
from protocol.messages.engine_spec import EngineSpec, Probes
from protocol.messages.model_source import ModelSource
from tests.bed import odd_engine
from tests.fakes.context import FakeContext, FakeHandle
from tests.fakes.docker_socket import DockerSocket

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
LIMIT_S = 30.0
"""Of waits that end by what they wait for."""
BRIEF_S = 0.05
"""Of waits that end by their limit."""
SPEC = EngineSpec(
    kind="llamacpp", image="x/y:z", model=ModelSource(uri="hf://org/tiny"), probes=Probes(functional=False)
)

# -- Docker's word ---------------------------------------------------------------------------------------------


def left(container_id):
    attributes = {"container": container_id, "name": "bridge", "type": "bridge"}
    event = {"Type": "network", "Action": "disconnect", "Actor": {"ID": "bridge", "Attributes": attributes}}
    return json.dumps(event).encode() + b"\n"


def containers_at(host):
    return DockerContainers(EnginesSettings(docker_host=host))


def until_it_leaves(connection):
    assert connection.recv(1) == b""


def test_the_wait_ends_when_docker_says_that_this_container_is_off_its_network(tmp_path):
    def tell(connection):
        connection.sendall(HEAD + left("other") + left("dead"))
        until_it_leaves(connection)

    with DockerSocket(tmp_path, tell) as docker:
        assert containers_at(docker.host).wait_detached("dead", LIMIT_S)
    assert "disconnect" in docker.asked[0]
    assert "since=" in docker.asked[0]  # it may have been before this was asked


def silent(connection):
    until_it_leaves(connection)


def chatty(connection):
    connection.sendall(HEAD)
    while True:
        connection.sendall(left("other") * 100)


def refusing(connection):
    connection.sendall(b"HTTP/1.0 500 no\r\n\r\n")


def ending(connection):
    connection.sendall(HEAD)


def garbling(connection):
    connection.sendall(HEAD + b"{}\nnot JSON\n")


@pytest.mark.parametrize("how", [silent, chatty, refusing, ending, garbling])
def test_the_wait_ends_whatever_docker_does(tmp_path, how):
    with DockerSocket(tmp_path, how) as docker:
        assert not containers_at(docker.host).wait_detached("dead", BRIEF_S)


def test_nobody_waits_for_a_docker_that_is_not_there_and_nothing_follows_from_it(tmp_path):
    guarded = Breaker(containers_at(f"unix://{tmp_path}/nobody.sock"))
    assert not guarded.wait_detached("dead", LIMIT_S)
    assert not guarded.open


def test_a_docker_that_is_known_to_be_down_is_not_asked():
    class Down:
        def ping(self):
            raise DockerDownError("E_DOCKER_DOWN", "ping")

    guarded = Breaker(Down())
    with pytest.raises(DockerDownError):
        guarded.ping()
    assert not guarded.wait_detached("dead", LIMIT_S)


@pytest.mark.e2e
def test_docker_says_it_of_a_real_container_and_says_it_again(docker_engine):
    image, containers = odd_engine.ensure_image(docker_engine.host), containers_at(docker_engine.host)
    with docker_engine.client() as client:
        made = client.containers.run(image, detach=True)
        try:
            assert not containers.wait_detached(made.id, BRIEF_S)
            made.kill()
            assert containers.wait_detached(made.id, LIMIT_S)
            assert containers.wait_detached(made.id, LIMIT_S)
        finally:
            made.remove(force=True)


# -- one engine ------------------------------------------------------------------------------------------------


class Calls:
    """Docker, in order; `fails` is raised by the next creation."""

    def __init__(self):
        self.made, self.calls, self.fails = {}, [], None

    def _note(self, call, container_id=""):
        self.calls.append(f"{call} {container_id}".strip())

    def find(self, _agent_id, _engine=None):
        return list(self.made.values())

    def inspect(self, container_id):
        return self.made[container_id]

    def image_env(self, _image):
        return {}

    def create(self, request):
        if self.fails is not None:
            raise self.fails
        container_id = f"c{len(self.made) + 1}"
        self._note("create", container_id)
        seen = Observed(container_id, request.name, "chat", 1, "", "", False, 0, False, 1, request.publish_port, "")
        self.made[container_id] = seen
        return container_id

    def wait_detached(self, container_id, _limit_s):
        self._note("wait", container_id)
        return False  # a start follows all the same

    def start(self, container_id):
        self._note("start", container_id)
        self.made[container_id] = replace(self.made[container_id], running=True)

    def logs(self, container_id, _lines):
        self._note("logs", container_id)
        return ("CUDA error: out of memory",)

    def first_logs(self, _container_id, _lines):
        return ()

    def remove(self, container_id):
        self._note("remove", container_id)


class Healthy:
    def look(self, *_):
        return Health.READY


class Engine:
    """Its actor alone, with tasks that run when the test says so."""

    def __init__(self, models):
        settings = EnginesSettings()
        self.docker = Calls()
        ports = Ports(settings, lambda _address, _port: True)
        world = World("agent", self.docker, models, ports, settings, Machine(16.0, 1 << 36), Healthy())
        self.ledger, self.manager = FakeHandle("/root/journal", self._recalled), FakeHandle("/root/manager")
        wanted = say.Wanted("chat", 1, SPEC, "")
        self.actor = EngineActor(
            wanted=wanted,
            kind=known_kinds()["llamacpp"],
            world=world,
            manager=self.manager,
            journal_handle=self.ledger,
            wall=lambda: 1_000.0,
        )
        self.context = FakeContext(self.actor)
        self.actor.on_start()
        for name in ("observe", "launch", "probe"):
            self.context.run_task(name)
        assert self.state == "ready"

    @staticmethod
    def _recalled(message):
        return journal.DesiredState((), {}) if isinstance(message, journal.LoadDesired) else None

    @property
    def state(self):
        return [one.facts.state for one in self.manager.told if isinstance(one, say.Changed)][-1]

    @property
    def tasks(self):
        return [task.name for task in self.context.tasks]

    def dies(self, exit_code=137):
        self.docker.calls.clear()
        self.docker.made["c1"] = replace(self.docker.made["c1"], running=False, exit_code=exit_code)
        self.actor.on_message(say.ContainerChanged("c1", "die", exit_code))


@pytest.fixture
def engine(models):
    return Engine(models)


def test_a_container_is_made_at_once_and_started_when_the_dead_one_is_off_its_network(engine):
    engine.dies()
    engine.context.run_task("launch")
    assert engine.docker.calls == ["create c2", "wait c1", "start c2"]


def test_a_first_start_waits_for_nobody(engine):
    assert engine.docker.calls == ["create c1", "start c1"]


def test_the_words_of_the_dead_are_read_when_the_next_one_serves_and_before_it_is_removed(engine):
    engine.dies()
    assert engine.tasks == ["launch"]
    engine.context.run_task("launch")
    assert engine.tasks == ["probe"]
    engine.context.run_task("probe")
    assert engine.tasks == ["inquest"]
    engine.context.run_task("inquest")
    engine.context.run_task("sweep")
    assert engine.docker.calls[-2:] == ["logs c1", "remove c1"]
    told = [one for one in engine.ledger.told if isinstance(one, journal.Emit)]
    assert [one.kind for one in told][-2:] == ["engine.ready", "engine.cause"]


def test_they_are_read_in_time_when_the_start_takes_long(engine):
    engine.dies()
    engine.context.advance(LATEST_S)
    assert engine.tasks == ["launch", "inquest"]
    engine.context.run_task("inquest")
    engine.context.run_task("launch")
    assert engine.docker.calls.count("logs c1") == 1


def test_they_are_read_in_time_when_the_next_one_loads_long(engine):
    engine.dies()
    engine.context.run_task("launch")
    engine.context.advance(LATEST_S)
    assert engine.tasks == ["probe", "inquest"]


def test_they_are_read_when_the_next_one_dies_too(engine):
    engine.dies()
    engine.context.run_task("launch")
    engine.context.tasks.clear()
    engine.actor.on_message(TaskFailed(0, "probe", "DockerDownError", "away", ""))
    engine.actor.on_message(say.ContainerChanged("c2", "die", 1))
    assert engine.tasks == ["inquest", "autopsy"]


def test_they_are_read_when_the_start_fails_for_good(engine):
    engine.docker.fails = ImageError("E_IMAGE", "the image is gone")
    engine.dies()
    engine.context.run_task("launch")
    assert engine.state == "gave_up"
    assert engine.tasks == ["inquest", "retire"]
