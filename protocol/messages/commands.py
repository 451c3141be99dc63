"""What a master may ask of an agent."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from .base import Command, Generation, Name, ShortText
from .engine_spec import EngineSpec
from .model_source import ModelSource

Model = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?\Z")
]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")]


class EngineStart(Command):
    """An engine shall run, in this generation."""

    TYPE: ClassVar[str] = "engine.start"
    name: Name
    generation: Generation
    spec: EngineSpec


class EngineUpdate(Command):
    """A running engine shall become this; the last good version comes back if it does not work."""

    TYPE: ClassVar[str] = "engine.update"
    name: Name
    generation: Generation
    spec: EngineSpec


class EngineStop(Command):
    """An engine shall not run any more; its requests in flight may end first."""

    TYPE: ClassVar[str] = "engine.stop"
    name: Name
    generation: Generation
    drain_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0


class EngineRestart(Command):
    """A running engine shall be started anew."""

    TYPE: ClassVar[str] = "engine.restart"
    name: Name
    generation: Generation
    drain_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0


class ModelPull(Command):
    """A model shall be in the store, complete and verified."""

    TYPE: ClassVar[str] = "model.pull"
    source: ModelSource
    priority: Annotated[int, Field(ge=0, le=9)] = 5


class ModelRemove(Command):
    """A version shall go; one that is in use stays unless forced."""

    TYPE: ClassVar[str] = "model.remove"
    model: Model
    revision: Revision | None = None
    force: bool = False


class ModelPin(Command):
    """A version shall never be collected, or may be again."""

    TYPE: ClassVar[str] = "model.pin"
    model: Model
    revision: Revision
    pinned: bool


class ModelUse(Command):
    """A version shall be the current one."""

    TYPE: ClassVar[str] = "model.use"
    model: Model
    revision: Revision


class ModelVerify(Command):
    """A version shall be read again and compared with its hashes."""

    TYPE: ClassVar[str] = "model.verify"
    model: Model
    revision: Revision | None = None


class AgentStatus(Command):
    """The agent shall say how it is."""

    TYPE: ClassVar[str] = "agent.status"


class AgentDrain(Command):
    """The agent shall take no new engine, or take them again."""

    TYPE: ClassVar[str] = "agent.drain"
    enabled: bool


class AgentReload(Command):
    """The agent shall read its configuration again."""

    TYPE: ClassVar[str] = "agent.reload"


class AgentUpdate(Command):
    """The agent shall become this release."""

    TYPE: ClassVar[str] = "agent.update"
    release: ShortText


class AgentRotate(Command):
    """The agent shall make a new key."""

    TYPE: ClassVar[str] = "agent.rotate"


class LogsRead(Command):
    """The last lines of an engine's log."""

    TYPE: ClassVar[str] = "logs.read"
    engine: Name
    lines: Annotated[int, Field(ge=1, le=10_000)] = 100
    follow: bool = False


class DiagnosticsRun(Command):
    """The agent shall examine itself."""

    TYPE: ClassVar[str] = "diagnostics.run"


COMMANDS: tuple[type[Command], ...] = (
    EngineStart,
    EngineUpdate,
    EngineStop,
    EngineRestart,
    ModelPull,
    ModelRemove,
    ModelPin,
    ModelUse,
    ModelVerify,
    AgentStatus,
    AgentDrain,
    AgentReload,
    AgentUpdate,
    AgentRotate,
    LogsRead,
    DiagnosticsRun,
)
