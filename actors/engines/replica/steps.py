"""The blocking steps of one engine, each run in a thread that its actor owns. Every one may be repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from actors.engines import request as labels
from actors.engines.containers_api import Movement, Observed
from actors.engines.errors import DockerError, NotFoundError
from actors.engines.figures import read as read_figures
from actors.engines.functional import Ask
from actors.engines.kinds.base import MODEL_TARGET, Kind
from actors.engines.messages import Wanted
from actors.engines.policy import check_image_env
from actors.engines.probe import Health
from actors.engines.request import ContainerRequest
from actors.facts import EngineFacts
from actors.supervision.flag import Flag

from .health import Asked, Seen
from .weights import Weights, lease
from .world import Cancelled, World

LOG_LINES = 400
"""The cause of a failed start may stand some hundred lines before the end (vLLM)."""
FIRST_LINES = 40
DETACH_S = 0.08
"""Longest wait of a start for the network of the one that died just now.

Docker takes a dead container off its network within some 50 ms of its death. A start that comes in between takes half
as long again, since both want the same locks; one that waits is the faster one.
"""


@dataclass(frozen=True, slots=True)
class Autopsy:
    """What is left of a dead container."""

    exit_code: int
    oom_killed: bool
    log: tuple[str, ...]
    removed: bool = False
    first: tuple[str, ...] = ()
    """Its first lines: what it was told and what it found, long gone from the last ones."""
    running: bool = False


@dataclass(frozen=True, slots=True)
class Launched:
    """A container that was just started, and the bytes that it has to load."""

    seen: Observed
    model_bytes: int


def make_request(
    world: World, wanted: Wanted, kind: Kind, weights: Weights, port: int, turn: int = 0
) -> ContainerRequest:
    """The container of an engine: the kind's words and the machine's limits."""
    spec, settings = wanted.spec, world.settings
    launch = kind.launch(spec, weights.files(), replace(world.machine, gpus=wanted.gpus))
    memory = spec.memory_bytes or settings.memory_default_bytes
    shm = launch.shm_bytes or settings.shm_default_bytes
    bare = ContainerRequest(
        name=f"{labels.NAME_PREFIX}-{wanted.name}-{wanted.generation}" + (f"-r{turn}" if turn else ""),
        image=spec.image,
        argv=launch.argv,
        port=launch.port,
        env={**launch.env, **spec.env},
        mounts=weights.mounts(MODEL_TARGET),
        user=launch.user,
        tmpfs=launch.tmpfs,
        shm_bytes=spec.shm_bytes or (min(shm, memory) if memory else shm),  # more than its memory it can never use
        memory_bytes=memory,
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
    endpoint, metrics = world.endpoint(seen.port), kind.traits.metrics_path
    serves = wanted.spec.serves
    return replace(
        facts,
        container_id=seen.container_id,
        pid=seen.pid or None,
        endpoint=endpoint if serves else None,
        metrics_url=f"{endpoint}{metrics}" if metrics and serves else None,
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
    holder: str,
    turn: int = 0,
    after: str | None = None,
) -> Launched:
    """Image, model, port, container, start; `holder` is who has the port and the model.

    `turn` counts the containers of this generation: the next one has a name while the dead one is still there. `after`
    is that one, if it died just now: the new container is made at once, and started when Docker is through with the
    old one.
    """
    spec = wanted.spec
    weights = lease(world.models, spec, holder)
    env = world.containers.image_env(spec.image)
    if env is None:
        world.containers.pull(spec.image, lambda done, total: progress("image", done, total), cancelled.is_set)
        env = world.containers.image_env(spec.image)
    check_image_env(spec.image, env or {})
    if cancelled.is_set():
        raise Cancelled
    port = world.ports.reserve(holder, spec.port)
    request = make_request(world, wanted, kind, weights, port, turn)
    container_id = world.containers.create(request)
    if after is not None:
        world.containers.wait_detached(after, DETACH_S)
    world.containers.start(container_id)
    return Launched(world.containers.inspect(container_id), weights.size_bytes)


def sweep(world: World, container_id: str) -> bool:
    """Remove a container that is dead; whether it died of its memory limit, which Docker may say late."""
    try:
        seen = world.containers.inspect(container_id)
    except NotFoundError:
        return False
    world.containers.remove(container_id)
    return seen.oom_killed


def observe(world: World, name: str) -> Sequence[Observed]:
    """Every container of this engine."""
    return world.containers.find(world.agent_id, name)


def autopsy(world: World, container_id: str, exit_code: int | None = None, *, oom: bool = False) -> Autopsy:
    """Exit code, Docker's flag, first and last words of a container that died.

    With an exit code, which the event of its death brought, Docker is not asked for the rest: it holds a dead container
    fast for a while, up to a third of a second, and the next one need not wait for that.
    """
    running, killed, code = False, oom, exit_code or 0
    try:
        if exit_code is None:
            seen = world.containers.inspect(container_id)
            running, killed, code = seen.running, seen.oom_killed, seen.exit_code
        log = tuple(world.containers.logs(container_id, LOG_LINES))
        first = tuple(world.containers.first_logs(container_id, FIRST_LINES))
    except NotFoundError:
        return Autopsy(0, oom_killed=False, log=(), removed=True)
    return Autopsy(code, killed, log, first=first, running=running)


def look(world: World, wanted: Wanted, kind: Kind, container: Observed, asked: Asked) -> Seen:
    """One look at an engine: its health, then what was asked for."""
    traits, settings = kind.traits, world.settings
    if not wanted.spec.serves:  # nobody asks it, so all that can be known is whether it runs
        running = world.containers.inspect(container.container_id).running
        return Seen(Health.READY if running else Health.REFUSED)
    endpoint = world.endpoint(container.port)
    limit_s = max(traits.health_timeout_s, wanted.spec.probes.timeout_s)
    health = world.prober.look(endpoint, traits.health_path, limit_s)
    movement = _movement(world, container.container_id) if asked.movement and health is not Health.READY else None
    if health is not Health.READY or not wanted.spec.probes.functional:
        return Seen(health, movement=movement)
    page = world.prober.page(endpoint, traits.metrics_path, limit_s) if traits.metrics_path else None
    figures = read_figures(page, traits.work)
    busy = figures is not None and figures.requests > 0
    token = None
    if traits.canary is not None and (asked.token is Ask.YES or (asked.token is Ask.IF_IDLE and not busy)):
        body = traits.canary.body_for(wanted.spec)
        token = world.prober.token(endpoint, traits.canary.path, body, settings.canary_timeout_s)
    if asked.movement and token not in {None, Health.READY}:
        movement = _movement(world, container.container_id)
    return Seen(health, token, figures, movement)


def _movement(world: World, container_id: str) -> Movement | None:
    try:
        return world.containers.movement(container_id)
    except DockerError:
        return None
