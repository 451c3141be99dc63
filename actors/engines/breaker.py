"""A circuit breaker before Docker: after one call without an answer, nobody waits for the next.

Open, every call fails at once with DockerDownError; only `ping` goes through, and one that is answered closes it. The
manager's watch pings, so a Docker that hangs costs one deadline, not one for each engine, and costs no engine anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

from config.engines import EnginesSettings

from .containers import DockerContainers
from .containers_api import ContainerEvent, Containers, Movement, Observed, PullProgress
from .errors import DockerDownError
from .request import ContainerRequest

P = ParamSpec("P")
T = TypeVar("T")


class Breaker:
    """Containers, before other Containers. Any thread."""

    def __init__(self, inner: Containers) -> None:
        self._inner = inner
        self._why = ""

    @property
    def open(self) -> str:
        """Why calls are not tried now; empty when they are."""
        return self._why

    def _do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._why:
            raise DockerDownError("E_DOCKER_DOWN", "Docker was not asked", self._why, "it is asked again as it answers")
        return self._noting(call, *args, **kwargs)

    def _noting(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            answer = call(*args, **kwargs)
        except DockerDownError as error:
            self._why = str(error)
            raise
        return answer

    def ping(self) -> None:
        """The one call that is always tried."""
        self._noting(self._inner.ping)
        self._why = ""

    def find(self, agent_id: str, engine: str | None = None) -> Sequence[Observed]:
        """See Containers."""
        return self._do(self._inner.find, agent_id, engine)

    def inspect(self, container_id: str) -> Observed:
        """See Containers."""
        return self._do(self._inner.inspect, container_id)

    def image_env(self, image: str) -> Mapping[str, str] | None:
        """See Containers."""
        return self._do(self._inner.image_env, image)

    def pull(self, image: str, progress: PullProgress, cancelled: Callable[[], bool]) -> None:
        """See Containers."""
        self._do(self._inner.pull, image, progress, cancelled)

    def create(self, request: ContainerRequest) -> str:
        """See Containers."""
        return self._do(self._inner.create, request)

    def start(self, container_id: str) -> None:
        """See Containers."""
        self._do(self._inner.start, container_id)

    def wait_detached(self, container_id: str, limit_s: float) -> bool:
        """See Containers."""
        return not self._why and self._inner.wait_detached(container_id, limit_s)

    def signal(self, container_id: str, name: str) -> None:
        """See Containers."""
        self._do(self._inner.signal, container_id, name)

    def remove(self, container_id: str) -> None:
        """See Containers."""
        self._do(self._inner.remove, container_id)

    def logs(self, container_id: str, lines: int) -> Sequence[str]:
        """See Containers."""
        return self._do(self._inner.logs, container_id, lines)

    def first_logs(self, container_id: str, lines: int) -> Sequence[str]:
        """See Containers."""
        return self._do(self._inner.first_logs, container_id, lines)

    def movement(self, container_id: str) -> Movement:
        """See Containers."""
        return self._do(self._inner.movement, container_id)

    def events(self, agent_id: str, cancelled: Callable[[], bool]) -> Iterator[ContainerEvent]:
        """See Containers."""
        if self._why:
            raise DockerDownError("E_DOCKER_DOWN", "Docker was not asked", self._why)
        try:
            yield from self._inner.events(agent_id, cancelled)
        except DockerDownError as error:
            self._why = str(error)
            raise


def guarded(settings: EnginesSettings) -> Breaker:
    """The machine's Docker behind its breaker."""
    return Breaker(DockerContainers(settings))
