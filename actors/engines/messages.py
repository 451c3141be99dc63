"""What the manager and its engines say to each other."""

from dataclasses import dataclass

from actors.facts import EngineFacts
from protocol.messages.engine_spec import EngineSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one engine shall be."""

    name: str
    generation: int
    spec: EngineSpec
    command_id: str
    """The command that wants it; answered when the engine is ready or cannot be."""
    gpus: tuple[str, ...] = ()
    """UUIDs that are leased to it."""


@dataclass(frozen=True, slots=True)
class Become:
    """To an engine: be this from now on."""

    wanted: Wanted
    update: bool = False
    """It is an update: a version that did not run here before is refused."""
    crowded: str = ""
    """Why there is no room for the new one beside the old one; empty when there is."""


@dataclass(frozen=True, slots=True)
class Settled:
    """To the manager: one container of the engine is left, with these GPUs."""

    name: str
    generation: int
    """The newest that was wanted, whether it runs or a good one stands in for it."""
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopEngine:
    """To an engine: end its container in the engine's own way, then say Gone."""

    command_id: str
    generation: int
    drain_s: float


@dataclass(frozen=True, slots=True)
class RestartEngine:
    """To an engine: end its container and start another."""

    command_id: str
    drain_s: float


@dataclass(frozen=True, slots=True)
class ContainerChanged:
    """To an engine: Docker says that this container of it died or was removed."""

    container_id: str
    action: str
    exit_code: int | None = None
    """Of one that died; None when Docker has to be asked."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """To an engine: news of Docker may have been missed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """To the manager: an engine's new facts."""

    facts: EngineFacts


@dataclass(frozen=True, slots=True)
class Answered:
    """To the manager: this command of the engine has its end; the journal was told before."""

    name: str
    command_id: str


@dataclass(frozen=True, slots=True)
class Gone:
    """To the manager: the engine was stopped as asked; its actor is not needed any more."""

    name: str
    generation: int
    """Of the command that stopped it."""
    command_id: str
