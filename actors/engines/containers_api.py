"""Docker as the engines see it: an interface, so that a simulated Docker takes its place in tests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .request import ContainerRequest


@dataclass(frozen=True, slots=True)
class Observed:
    """One container that carries our labels."""

    container_id: str
    name: str
    engine: str
    generation: int
    spec_hash: str
    command_id: str
    running: bool
    exit_code: int
    oom_killed: bool
    pid: int
    port: int
    """Published on the host; 0 when it is not."""
    image: str


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """Docker says that a container of ours changed: action is die, oom, destroy or start."""

    action: str
    container_id: str
    engine: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Movement:
    """What grows while a container works at its start: bytes of memory with its page cache, bytes read from disk."""

    memory_bytes: int = 0
    read_bytes: int = 0


PullProgress = Callable[[int, int], None]
"""Told of bytes done and bytes known so far."""


class Containers(Protocol):
    """Every call has a deadline and raises DockerError; none touches a container without our labels."""

    def ping(self) -> None:
        """Return if Docker answers."""

    def find(self, agent_id: str, engine: str | None = None) -> Sequence[Observed]:
        """Containers of this agent, all states."""

    def inspect(self, container_id: str) -> Observed:
        """One container; NotFoundError when it is gone."""

    def image_env(self, image: str) -> Mapping[str, str] | None:
        """The variables that a local image brings; None when it is not here."""

    def pull(self, image: str, progress: PullProgress, cancelled: Callable[[], bool]) -> None:
        """Bring an image; ImageError says why it cannot be had."""

    def create(self, request: ContainerRequest) -> str:
        """Make a container; its id."""

    def start(self, container_id: str) -> None:
        """Start it."""

    def wait_detached(self, container_id: str, limit_s: float) -> bool:
        """Wait until a dead container is off its network; False when that was not seen in time. Never raises."""

    def signal(self, container_id: str, name: str) -> None:
        """Send a signal; nothing when it has ended."""

    def remove(self, container_id: str) -> None:
        """Remove it, whatever it does; nothing when it is gone."""

    def logs(self, container_id: str, lines: int) -> Sequence[str]:
        """Its last lines, both streams."""

    def first_logs(self, container_id: str, lines: int) -> Sequence[str]:
        """Its first lines, both streams."""

    def movement(self, container_id: str) -> Movement:
        """How far its start has come, in figures that only grow while it works."""

    def events(self, agent_id: str, cancelled: Callable[[], bool]) -> Iterator[ContainerEvent]:
        """What happens to containers of this agent, until cancelled or the stream breaks (DockerError)."""
