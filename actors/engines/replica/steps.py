"""The blocking steps of one engine, each run in a thread that its actor owns. Every one may be repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from actors.engines import request as labels
from actors.engines.containers_api import Containers, Observed
from actors.engines.errors import NotFoundError, RefusedError
from actors.engines.kinds.base import MODEL_TARGET, Kind, Machine, ModelFiles
from actors.engines.messages import Wanted
from actors.engines.models_api import Models
from actors.engines.policy import check_image_env
from actors.engines.ports import Ports
from actors.engines.probe import Health
from actors.engines.request import ContainerRequest, Mount
from actors.facts import EngineFacts, LocalModel
from actors.supervision.flag import Flag
from config.engines import EnginesSettings

LOG_LINES = 200
TICK_S = 0.1
KILL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """What an engine's steps need."""

    agent_id: str
    containers: Containers
    models: Models
    ports: Ports
    settings: EnginesSettings
    machine: Machine
    look: Callable[[str, str, float], Health]
    """One look at an engine: endpoint, health path, patience in seconds."""


@dataclass(frozen=True, slots=True)
class Autopsy:
    """What is left of a dead container."""

    exit_code: int
    oom_killed: bool
    log: tuple[str, ...]
    removed: bool = False


class Cancelled(Exception):  # noqa: N818  # an answer to a request, not an error
    """The step was told to end."""


def make_request(world: World, wanted: Wanted, kind: Kind, model: LocalModel, port: int) -> ContainerRequest:
    """The container of an engine: the kind's words and the machine's limits."""
    spec, settings = wanted.spec, world.settings
    files = ModelFiles(model.directory, model.files, model.size_bytes)
    launch = kind.launch(spec, files, replace(world.machine, gpus=wanted.gpus))
    bare = ContainerRequest(
        name=f"{labels.NAME_PREFIX}-{wanted.name}-{wanted.generation}",
        image=spec.image,
        argv=launch.argv,
        port=launch.port,
        env={**launch.env, **spec.env},
        mounts=(Mount(model.directory, MODEL_TARGET),),
        user=launch.user,
        tmpfs=launch.tmpfs,
        shm_bytes=spec.shm_bytes or launch.shm_bytes or settings.shm_default_bytes,
        memory_bytes=spec.memory_bytes or settings.memory_default_bytes,
        cpus=spec.cpus or 0.0,
        pids_max=settings.pids_max,
        gpus=wanted.gpus,
        devices=launch.devices,
        groups=launch.groups,
        publish_address=str(settings.publish_address),
        publish_port=port,
        log_max_bytes=settings.log_max_bytes,
        log_files=settings.log_files,
        stop_s=int(kind.traits.stop[-1].after_s) + 1,
    )
    marks = {
        labels.LABEL_AGENT: world.agent_id,
        labels.LABEL_ENGINE: wanted.name,
        labels.LABEL_GENERATION: str(wanted.generation),
        labels.LABEL_COMMAND: wanted.command_id,
        labels.LABEL_SPEC: bare.spec_hash(),
        labels.LABEL_PORT: str(port),
    }
    return ContainerRequest(**{**{name: getattr(bare, name) for name in bare.__slots__}, "labels": marks})


def facts_of(facts: EngineFacts, world: World, wanted: Wanted, kind: Kind, seen: Observed) -> EngineFacts:
    """What is known of an engine whose container runs."""
    endpoint, metrics = f"http://{world.settings.publish_address}:{seen.port}", kind.traits.metrics_path
    return replace(
        facts,
        container_id=seen.container_id,
        pid=seen.pid or None,
        endpoint=endpoint,
        metrics_url=f"{endpoint}{metrics}" if metrics else None,
        generation=wanted.generation,
        gpus=wanted.gpus,
        image=wanted.spec.image,
    )


def launch(
    world: World,
    wanted: Wanted,
    kind: Kind,
    progress: Callable[[str, int, int], None],
    cancelled: Flag,
) -> Observed:
    """Image, model, port, container, start; returns the running container."""
    spec = wanted.spec
    model = world.models.lease(spec.model, wanted.name)
    if model is None:
        what = f"model {spec.model.uri} is not on this machine"
        raise RefusedError("E_MODEL", what, "", f"pull it first: mosalama-master model pull AGENT {spec.model.uri}")
    env = world.containers.image_env(spec.image)
    if env is None:
        world.containers.pull(spec.image, lambda done, total: progress("image", done, total), cancelled.is_set)
        env = world.containers.image_env(spec.image)
    check_image_env(spec.image, env or {})
    if cancelled.is_set():
        raise Cancelled
    port = world.ports.reserve(wanted.name, spec.port)
    request = make_request(world, wanted, kind, model, port)
    container_id = world.containers.create(request)
    world.containers.start(container_id)
    return world.containers.inspect(container_id)


def observe(world: World, name: str) -> Sequence[Observed]:
    """Every container of this engine."""
    return world.containers.find(world.agent_id, name)


def autopsy(world: World, container_id: str) -> Autopsy:
    """Exit code, Docker's flag and last words of a container that died."""
    try:
        seen = world.containers.inspect(container_id)
        log = tuple(world.containers.logs(container_id, LOG_LINES))
    except NotFoundError:
        return Autopsy(0, oom_killed=False, log=(), removed=True)
    return Autopsy(seen.exit_code, seen.oom_killed, log)


def end(world: World, kind: Kind, containers: Sequence[Observed], drain_s: float, cancelled: Flag) -> None:
    """End containers in the engine's own way, then remove them. What is not running is only removed."""
    for seen in containers:
        if seen.running:
            _stop(world, kind, seen.container_id, drain_s, cancelled)
        if cancelled.is_set():
            raise Cancelled
        world.containers.remove(seen.container_id)


def _stop(world: World, kind: Kind, container_id: str, drain_s: float, cancelled: Flag) -> None:
    begun = cancelled.now()
    for step in kind.traits.stop:
        limit_s = min(step.after_s, drain_s) if step.signal == "SIGKILL" and drain_s > 0 else step.after_s
        if _ended(world, container_id, begun + limit_s, cancelled):
            return
        world.containers.signal(container_id, step.signal)
    _ended(world, container_id, cancelled.now() + KILL_WAIT_S, cancelled)


def _ended(world: World, container_id: str, until: float, cancelled: Flag) -> bool:
    """Whether the container ends before `until` (monotonic)."""
    while True:
        try:
            if not world.containers.inspect(container_id).running:
                return True
        except NotFoundError:
            return True
        left = until - cancelled.now()
        if left <= 0:
            return False
        if cancelled.wait(min(TICK_S, left)):
            raise Cancelled
