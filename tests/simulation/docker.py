"""A Docker Engine with its containers, in virtual time. It outlives every process of the agent, as a real one does."""

from collections import deque
from dataclasses import dataclass, field

from actors.engines import request as labels
from actors.engines.containers_api import ContainerEvent, Movement, Observed
from actors.engines.errors import DockerDownError, DockerError, NotFoundError
from actors.engines.probe import Health
from actors.facts import LocalModel

HANG_S = 30.0
"""The deadline of one call, as the real client has it."""
CALL_S = (0.001, 0.02)
LOAD_S = (2.0, 40.0)
STREAM_S = 1.0
DETACH_S = (0.02, 0.3)
"""From a death until the container is off its network."""
KILLED, STOPPED = 137, 143


@dataclass(eq=False)
class Container:
    """`serves_at` is when the model is loaded; `sick` answers nothing although it runs."""

    id: str
    request: object
    created_at: float
    running: bool = False
    serves_at: float = float("inf")
    exit_code: int = 0
    sick: bool = False
    ends_at: float = float("inf")
    off_network_at: float = float("inf")

    @property
    def engine(self):
        return self.request.labels[labels.LABEL_ENGINE]

    @property
    def generation(self):
        return int(self.request.labels[labels.LABEL_GENERATION])

    @property
    def command_id(self):
        return self.request.labels[labels.LABEL_COMMAND]

    @property
    def foreign(self):
        return self.request is None

    def healthy(self, now):
        return self.running and not self.sick and now >= self.serves_at


@dataclass(eq=False)
class Stream:
    """One who listens to events."""

    waiting: object
    events: deque = field(default_factory=deque)


class SimDocker:
    """`down` is "" or how it fails: "refuses" or "hangs". `judge` is told of every container that is to end."""

    def __init__(self, schedule, rng):
        self.schedule, self.rng = schedule, rng
        self.containers = {}
        self.streams = {}
        self.down = ""
        self.judge = lambda container, deed: None
        self.on_start = lambda container: None
        self._serial = 0

    def stranger(self):
        """A container of somebody else, which runs beside ours."""
        made = Container(self.new_id(), None, self.schedule.now, running=True)
        self.containers[made.id] = made

    @property
    def ours(self):
        return [one for one in self.containers.values() if not one.foreign]

    def new_id(self):
        self._serial += 1
        return f"{self._serial:064x}"

    def fail(self, how, for_s):
        """It is away for a while; who listened hears nothing more."""
        self.down = how
        streams, self.streams = self.streams, {}
        for stream in streams:
            stream.events.append(None)
            stream.waiting.unpark()
        self.schedule.after(for_s, self.recover)

    def recover(self):
        self.down = ""

    def tell(self, action, container, exit_code=None):
        for stream in tuple(self.streams):
            stream.events.append(ContainerEvent(action, container.id, container.engine, exit_code))
            stream.waiting.unpark()

    def die(self, container, exit_code):
        if container.running:
            container.running, container.exit_code, container.sick = False, exit_code, False
            container.off_network_at = self.schedule.now + self.rng.uniform(*DETACH_S)
            self.tell("die", container, exit_code)

    def remove(self, container):
        self.die(container, KILLED)
        if self.containers.pop(container.id, None) is not None:
            self.tell("destroy", container)

    def running(self, engine=None):
        """Ours that run."""
        return [one for one in self.ours if one.running and engine in {None, one.engine}]


class SimClient:
    """What one process of the agent sees of it: actors.engines.containers_api.Containers."""

    def __init__(self, docker, runtime):
        self._docker, self._runtime = docker, runtime

    def _call(self):
        docker, runtime = self._docker, self._runtime
        self._sleep(docker.rng.uniform(*CALL_S))
        if docker.down == "hangs":
            self._sleep(HANG_S)
        runtime.check()
        if docker.down:
            raise DockerDownError("E_DOCKER", "Docker does not answer", docker.down)

    def _sleep(self, delay_s):
        self._runtime.parker().park(delay_s)
        self._runtime.check()

    def _get(self, container_id):
        found = self._docker.containers.get(container_id)
        if found is None:
            raise NotFoundError("E_DOCKER", f"no container {container_id[:12]}")
        return found

    def _seen(self, one):
        marks = one.request.labels
        return Observed(
            container_id=one.id,
            name=one.request.name,
            engine=one.engine,
            generation=one.generation,
            spec_hash=marks[labels.LABEL_SPEC],
            command_id=marks[labels.LABEL_COMMAND],
            running=one.running,
            exit_code=one.exit_code,
            oom_killed=False,
            pid=1 if one.running else 0,
            port=one.request.publish_port,
            image=one.request.image,
        )

    def ping(self):
        self._call()

    def find(self, agent_id, engine=None):
        self._call()
        return [self._seen(one) for one in self._docker.ours if engine in {None, one.engine}]

    def inspect(self, container_id):
        self._call()
        return self._seen(self._get(container_id))

    def image_env(self, image):
        self._call()
        return {}

    def pull(self, image, progress, cancelled):
        self._call()

    def create(self, request):
        self._call()
        if any(one.request.name == request.name for one in self._docker.ours):
            raise DockerError("E_DOCKER", f"the name {request.name} is taken")
        made = Container(self._docker.new_id(), request, self._runtime.now())
        self._docker.containers[made.id] = made
        return made.id

    def start(self, container_id):
        self._call()
        found, docker = self._get(container_id), self._docker
        if found.running:
            return
        ports = {one.request.publish_port for one in docker.running()}
        if found.request.publish_port in ports:
            raise DockerError("E_DOCKER", f"port {found.request.publish_port} is taken")
        found.running, found.sick = True, False
        found.serves_at = self._runtime.now() + docker.rng.uniform(*LOAD_S)
        docker.on_start(found)
        docker.tell("start", found)

    def wait_detached(self, container_id, limit_s):
        docker, found = self._docker, self._docker.containers.get(container_id)
        off_at = found.off_network_at if found is not None and not docker.down else float("inf")
        self._sleep(max(0.0, min(limit_s, off_at - self._runtime.now())))
        return self._runtime.now() >= off_at

    def signal(self, container_id, name):
        self._call()
        docker, found = self._docker, self._docker.containers.get(container_id)
        if found is None or not found.running:
            return
        docker.judge(found, name)
        if name == "SIGKILL":
            docker.die(found, KILLED)
        else:
            docker.schedule.after(docker.rng.uniform(0.1, 3.0), lambda: docker.die(found, STOPPED))

    def remove(self, container_id):
        self._call()
        found = self._docker.containers.get(container_id)
        if found is not None:
            if found.running:
                self._docker.judge(found, "remove")
            self._docker.remove(found)

    def logs(self, container_id, lines):
        self._call()
        self._get(container_id)
        return ["the last word"]

    def first_logs(self, container_id, lines):
        return self.logs(container_id, lines)

    def movement(self, container_id):
        self._call()
        self._get(container_id)
        return Movement()

    def page(self, endpoint, path, timeout_s):
        """The metrics page: nobody asks the engines of a simulated server anything."""
        if self.look(endpoint, path, timeout_s) is not Health.READY:
            return None
        return "llamacpp:requests_processing 0\nllamacpp:tokens_predicted_total 1\n"

    def token(self, endpoint, path, body, timeout_s):
        return self.look(endpoint, path, timeout_s)

    def events(self, agent_id, cancelled):
        self._call()
        stream = Stream(self._runtime.parker())
        self._docker.streams[stream] = None
        try:
            while not cancelled():
                while stream.events:
                    event = stream.events.popleft()
                    if event is None:
                        raise DockerDownError("E_DOCKER", "the stream of events broke")
                    yield event
                stream.waiting.park(STREAM_S)
                self._runtime.check()
        finally:
            self._docker.streams.pop(stream, None)

    def look(self, endpoint, path, timeout_s):
        """One look at an engine's health page: what actors.engines.probe.look sees."""
        self._sleep(0.005)
        port = int(endpoint.rpartition(":")[2])
        found = [one for one in self._docker.running() if one.request.publish_port == port]
        if not found:
            return Health.REFUSED
        if found[0].sick:
            self._sleep(timeout_s)
            return Health.SILENT
        return Health.READY if found[0].healthy(self._runtime.now()) else Health.LOADING

    def connections(self, pid):
        """Nobody counts them here: its page says it."""

    def free(self, address, port):
        """Whether nobody listens there."""
        return all(one.request.publish_port != port for one in self._docker.running())


class SimModels:
    """Every model is here."""

    def lease(self, source, holder):
        return LocalModel(source.uri, "0" * 40, "/models/tiny", ("tiny.gguf",), 1 << 20)

    keep = lease

    def move(self, holder, to):
        pass

    def release(self, holder):
        pass
