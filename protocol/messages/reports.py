"""What an agent tells its master."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import CommandIdText, Count, Message, Milliseconds, Name, Part, Scalar, ShortText, Text

Severity = Literal["info", "warning", "error", "critical"]
State = Literal["accepted", "running", "done", "failed", "expired", "cancelled"]
FINAL_STATES = frozenset({"done", "failed", "expired", "cancelled"})


class Failure(Part):
    """Why a command failed, for people: what, which, why, what to do."""

    code: ShortText
    what: Text
    why: Text = ""
    do: Text = ""


class CommandAccepted(Message):
    """The command is on the agent's disk; it will be carried out."""

    TYPE: ClassVar[str] = "command.accepted"
    command_id: CommandIdText


class CommandProgress(Message):
    """How far a command is; latest wins."""

    TYPE: ClassVar[str] = "command.progress"
    command_id: CommandIdText
    stage: ShortText
    done: Count = 0
    total: Count = 0
    unit: ShortText = ""
    detail: ShortText = ""


class CommandResult(Message):
    """What became of a command; kept until the master has it."""

    TYPE: ClassVar[str] = "command.result"
    command_id: CommandIdText
    state: Literal["done", "failed", "expired", "cancelled"]
    error: Failure | None = None
    data: dict[ShortText, Scalar | tuple[Text, ...]] = Field(default_factory=dict)
    rows: Annotated[tuple[dict[ShortText, Scalar], ...], Field(max_length=1_024)] = ()
    """A table, when the command asked for a list."""


class Event(Message):
    """Something happened; kept until the master has it."""

    TYPE: ClassVar[str] = "event"
    event_id: CommandIdText
    at_ms: Milliseconds
    kind: ShortText
    severity: Severity
    subject: ShortText
    text: Text
    fields: dict[ShortText, Scalar] = Field(default_factory=dict)


class Alert(Message):
    """An alert changed its state; kept until the master has it."""

    TYPE: ClassVar[str] = "alert"
    fingerprint: ShortText
    sequence: Count
    rule: ShortText
    severity: Severity
    state: Literal["firing", "resolved"]
    starts_at_ms: Milliseconds
    ends_at_ms: Milliseconds | None = None
    labels: dict[ShortText, ShortText] = Field(default_factory=dict)
    value: float | None = None
    text: Text = ""
    flapping: bool = False
    """It turned so often that it stays on until it is quiet."""
    boot_id: ShortText = ""
    """Of the machine when it began."""


class Report(Message):
    """Figures at one moment: only those that changed, or all of them; latest wins. One that is gone is null, once.

    With `full` the values take the place of all that were there before.
    """

    TYPE: ClassVar[str] = "report"
    at_ms: Milliseconds
    full: bool
    values: Annotated[dict[ShortText, Scalar], Field(max_length=1_024)]
    alerts: Annotated[tuple[ShortText, ...], Field(max_length=256)] = ()
    """Fingerprints of every firing alert."""

    def after(self, older: "Report") -> "Report":
        """This one, with what an older one says that was never sent: nothing is lost where a link is slow."""
        if self.full:
            return self
        return self.model_copy(update={"full": older.full, "values": {**older.values, **self.values}})


class Inventory(Message):
    """What the machine has."""

    TYPE: ClassVar[str] = "inventory"
    values: Annotated[dict[ShortText, Scalar | tuple[ShortText, ...]], Field(max_length=512)]


class LogLines(Message):
    """Lines of an engine's log, oldest first, on the bulk channel; never kept, never sent twice.

    Nothing is lost in silence: `gap_bytes` were left out before the first of these lines.
    """

    TYPE: ClassVar[str] = "log.lines"
    stream: CommandIdText
    """The id of the `engine.logs` that began it."""
    sequence: Count
    """1 for the first of a stream, then one more each time."""
    engine: Name
    lines: Annotated[tuple[Text, ...], Field(max_length=512)]
    """Control characters are escaped; a longer line is split."""
    gap_bytes: Count = 0
    end: bool = False
    """The last of this stream."""


REPORTS: tuple[type[Message], ...] = (
    CommandAccepted,
    CommandProgress,
    CommandResult,
    Event,
    Alert,
    Report,
    Inventory,
    LogLines,
)
