"""An engine's end: first its requests, then its own procedure, then SIGKILL at a deadline. Blocking; may be repeated.

No engine can be trusted to drain: llama.cpp stops a stream silently at SIGTERM, vLLM cuts at once unless told
otherwise. So nothing is signalled while its own counters say that it works, up to the deadline.
"""

from collections.abc import Sequence

from actors.engines.containers_api import Observed
from actors.engines.errors import NotFoundError
from actors.engines.figures import Figures
from actors.engines.figures import read as read_figures
from actors.engines.kinds.base import Kind
from actors.supervision.flag import Flag

from .world import Cancelled, World

TICK_S = 0.1
PAGE_S = 2.0
IDLE_LOOKS = 3
"""So many looks in a row without a request and without a new token: gauges lag behind between two batches."""
LOOK_S = 0.2
KILL_WAIT_S = 10.0
BUSY_STOP_S = 10.0


def end(world: World, kind: Kind, containers: Sequence[Observed], drain_s: float, cancelled: Flag) -> None:
    """End containers in the engine's own way, then remove them. What is not running is only removed."""
    for seen in containers:
        if seen.running:
            idle = drain_s <= 0 or wait_idle(world, kind, seen, cancelled.now() + drain_s, cancelled)
            _stop(world, kind, seen.container_id, cancelled, idle=idle)
        if cancelled.is_set():
            raise Cancelled
        world.containers.remove(seen.container_id)


def wait_idle(world: World, kind: Kind, seen: Observed, until: float, cancelled: Flag) -> bool:
    """Whether it has no request in it before `until` (monotonic). What cannot be known counts as busy."""
    path, still, before = kind.traits.metrics_path, 0, None
    endpoint = world.endpoint(seen.port)
    while cancelled.now() < until:
        page = world.prober.page(endpoint, path, PAGE_S) if path else None
        now = read_figures(page, kind.traits.work)
        # What its page does not say is counted from outside.
        idle = _idle(before, now) if now is not None else world.prober.connections(seen.pid) == 0
        still = still + 1 if idle else 0
        if still >= IDLE_LOOKS:
            return True
        if now is None and not _runs(world, seen.container_id):
            return True
        before = now
        if cancelled.wait(min(LOOK_S, max(0.0, until - cancelled.now()))):
            raise Cancelled
    return False


def _idle(before: Figures | None, now: Figures | None) -> bool:
    return before is not None and now is not None and now.requests == 0 and now.tokens == before.tokens


def _runs(world: World, container_id: str) -> bool:
    try:
        return world.containers.inspect(container_id).running
    except NotFoundError:
        return False


def _stop(world: World, kind: Kind, container_id: str, cancelled: Flag, *, idle: bool) -> None:
    """The kind's own steps; one whose requests did not end in their time gets no second helping of it."""
    begun = cancelled.now()
    for step in kind.traits.stop:
        after_s = step.after_s if idle else min(step.after_s, BUSY_STOP_S)
        if _ended(world, container_id, begun + after_s, cancelled):
            return
        world.containers.signal(container_id, step.signal)
    _ended(world, container_id, cancelled.now() + KILL_WAIT_S, cancelled)


def _ended(world: World, container_id: str, until: float, cancelled: Flag) -> bool:
    """Whether the container ends before `until` (monotonic)."""
    while True:
        if not _runs(world, container_id):
            return True
        left = until - cancelled.now()
        if left <= 0:
            return False
        if cancelled.wait(min(TICK_S, left)):
            raise Cancelled
