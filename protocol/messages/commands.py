"""What a master may ask of an agent: a closed set. The first part of a word names the family that carries it out."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from .base import Command, CommandIdText, Generation, Name, ShortText
from .engine_spec import EngineSpec
from .model_source import ModelSource

Model = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?\Z")
]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")]


Priority = Annotated[int, Field(ge=0, le=9)]


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
    confirmed: bool = False
    """That it is meant, where it would be one of many in a short time (E_CONFIRM)."""


class EngineRestart(Command):
    """A running engine shall be started anew."""

    TYPE: ClassVar[str] = "engine.restart"
    name: Name
    generation: Generation
    drain_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0


class EngineLogs(Command):
    """The last lines of an engine's log, and with `follow` those that come.

    The lines go as `log.lines` of the bulk channel, in the stream that this command's id names. The command is done
    when the stream has ended: its last lines were sent, one of its bounds was reached, or `engine.logs_stop` came.
    """

    TYPE: ClassVar[str] = "engine.logs"
    name: Name
    lines: Annotated[int, Field(ge=0, le=10_000)] = 100
    """How many of those that are there already."""
    follow: bool = False
    limit_bytes: Annotated[int, Field(ge=1, le=1 << 30)] = 64 << 20
    limit_s: Annotated[float, Field(gt=0, le=86_400)] = 3_600.0


class EngineLogsStop(Command):
    """The stream that began with this command shall end; one that has ended is fine."""

    TYPE: ClassVar[str] = "engine.logs_stop"
    stream: CommandIdText


class ModelPull(Command):
    """A model shall be in the store, complete and verified."""

    TYPE: ClassVar[str] = "model.pull"
    source: ModelSource
    priority: Priority = 5


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


class ModelGc(Command):
    """Versions that nobody uses shall go, oldest first, until so much is free."""

    TYPE: ClassVar[str] = "model.gc"
    free_bytes: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    """None: until the agent's own floor is met."""
    dry_run: bool = False


class ModelList(Command):
    """The agent shall say what is in its store, one row for each version."""

    TYPE: ClassVar[str] = "model.list"


class ModelPause(Command):
    """Transfers of a model shall rest, over restarts of the agent too, or go on where they were."""

    TYPE: ClassVar[str] = "model.pause"
    model: Model
    revision: Revision | None = None
    """As it was asked for; None: every transfer of the model."""
    paused: bool


class ModelCancel(Command):
    """Transfers of a model shall end; what they brought is kept for a later pull."""

    TYPE: ClassVar[str] = "model.cancel"
    model: Model
    revision: Revision | None = None


class ModelPriority(Command):
    """Transfers of a model shall have their turn earlier or later; one that runs goes on."""

    TYPE: ClassVar[str] = "model.priority"
    model: Model
    revision: Revision | None = None
    priority: Priority
    """As in model.pull: higher goes first."""


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


class AgentDiagnose(Command):
    """The agent shall examine itself and say what it finds, one row for each check."""

    TYPE: ClassVar[str] = "agent.diagnose"


COMMANDS: tuple[type[Command], ...] = (
    EngineStart,
    EngineUpdate,
    EngineStop,
    EngineRestart,
    EngineLogs,
    EngineLogsStop,
    ModelPull,
    ModelRemove,
    ModelPin,
    ModelUse,
    ModelVerify,
    ModelGc,
    ModelList,
    ModelPause,
    ModelCancel,
    ModelPriority,
    AgentStatus,
    AgentDrain,
    AgentReload,
    AgentUpdate,
    AgentRotate,
    AgentDiagnose,
)
