"""Where an engine's log comes from: by its container, or by its name."""

from collections.abc import Callable, Iterator

from actors.facts import EngineFacts

from .follow import follow

Cancelled = Callable[[], bool]


class LogSource:
    """Of one Docker Engine; `engines` gives the latest facts."""

    def __init__(self, docker_host: str, engines: Callable[[], tuple[EngineFacts, ...]]) -> None:
        self._docker_host, self._engines = docker_host, engines

    def of_container(self, container_id: str, lines: int, more: bool, cancelled: Cancelled) -> Iterator[bytes]:
        """Pieces; see follow."""
        return follow(self._docker_host, container_id, lines=lines, more=more, cancelled=cancelled)

    def of_engine(self, engine: str, lines: int, more: bool, cancelled: Cancelled) -> Iterator[bytes]:
        """The same by name; LookupError: it has no container."""
        found = next((one for one in self._engines() if one.name == engine), None)
        if found is None or found.container_id is None:
            raise LookupError(f"{engine}: there is no such engine with a container")
        return self.of_container(found.container_id, lines, more, cancelled)
