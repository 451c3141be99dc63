"""What other rooms say to the journal and hear from it; the vocabulary of commands for every room above it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.supervision.handle import Handle
    from protocol.command import SignedCommand
    from protocol.messages.base import Command, Message
    from protocol.messages.reports import Failure, LogLines

FinalState = Literal["done", "failed", "expired", "cancelled"]
Value = str | int | float | bool | None | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """From the link: keep this command; the answer goes to `reply_to` once it is on disk."""

    signed: "SignedCommand"
    offset: int | None
    """Its place in the master's stream."""
    expired: bool
    """Whether its time was over when it came, by the master's clock."""
    reply_to: "Handle | Asker"
    previous: int = 0
    """The offset before it in the master's stream: what has it not on disk would leave a hole."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """To the link: the command is on disk, now or before (`duplicate`)."""

    command_id: str
    offset: int | None
    duplicate: bool


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """To the link: the command will not be carried out. The master is told `code`; with `later` it may come again."""

    command_id: str
    offset: int | None
    """What may be acknowledged: None while this refusal is not on disk."""
    code: str
    detail: str
    later: bool


@dataclass(frozen=True, slots=True)
class AcceptLocal:
    """Asked by the control socket: keep this command. Answers Accepted, once it is on disk, or NotAccepted."""

    signed: "SignedCommand"
    """Sealed with the machine's own key: the ledger's record of who asked is signed like a master's."""
    by: str
    """Who asked, for the event that says so."""


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """Asked: the CommandState of a command, or None."""

    command_id: str


@dataclass(frozen=True, slots=True)
class CommandState:
    """Answer to ReadCommand."""

    state: str
    result: "Message | None"
    """What became of it, once it has ended."""


@dataclass(slots=True)
class Asker:
    """Stands for whoever asked when the answer is told: it is given to them when the handler returns."""

    path: str = "the asker"
    said: object = None

    def tell(self, message: object) -> None:
        """The answer."""
        self.said = message


@dataclass(frozen=True, slots=True)
class Execute:
    """To the actor that owns this family of commands: carry it out. May come again after a restart."""

    command_id: str
    command: "Command"
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Passed:
    """From the link: a message of the master's stream that needs nothing but to be counted; answered like Accept."""

    offset: int
    previous: int
    reply_to: "Handle"


@dataclass(frozen=True, slots=True)
class Again:
    """From an owner that was begun anew: tell me again every command of this family (or word) that has not ended."""

    family: str


@dataclass(frozen=True, slots=True)
class Running:
    """From an owner: the effect begins; written before it does."""

    command_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """From an owner: how far it is. Told to the master, latest wins, never on disk."""

    command_id: str
    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """From an owner: what became of the command; the master is told until it has it."""

    command_id: str
    state: FinalState
    error: "Failure | None" = None
    data: "Mapping[str, Value]" = field(default_factory=dict)
    rows: "tuple[Mapping[str, str | int | float | bool | None], ...]" = ()
    """A table, when the command asked for a list."""


@dataclass(frozen=True, slots=True)
class Emit:
    """From any actor: something happened; the journal gives it an id and a time, and keeps it for the master."""

    kind: str
    severity: Literal["info", "warning", "error", "critical"]
    subject: str
    text: str
    fields: "Mapping[str, str | int | float | bool | None]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deliver:
    """From any actor: keep this message for the master (alerts, inventory)."""

    message: "Message"


@dataclass(frozen=True, slots=True)
class Desired:
    """One engine that shall run."""

    name: str
    generation: int
    spec: bytes
    command_id: str


@dataclass(frozen=True, slots=True)
class PutDesired:
    """This engine shall run so."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class DropDesired:
    """This engine shall not run; its generation is remembered, so that an older command cannot bring it back."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class LoadDesired:
    """Asked: a tuple of Desired, and a mapping of every known name to its generation."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Answer to LoadDesired."""

    engines: tuple[Desired, ...]
    generations: "Mapping[str, int]"


@dataclass(frozen=True, slots=True)
class PutState:
    """A room's own small durable value, at most 1 MiB."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class GetState:
    """Asked: the value, or None."""

    key: str


@dataclass(frozen=True, slots=True)
class ReadOutbox:
    """Asked: up to `limit` OutboxRow with an offset above `after`."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message that the master does not have yet."""

    offset: int
    message_id: bytes
    message: "Message"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """From the link: the master has everything up to this offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class Resume:
    """From the link: a session begins, and the master says that it has our stream up to this offset.

    Only up to `believed` may anything be dropped: it cannot have what was never sent.
    """

    offset: int
    believed: int


@dataclass(frozen=True, slots=True)
class ForgetReceived:
    """Asked: this machine enrols anew, and its next master's stream begins at one; answered when it is on disk."""


@dataclass(frozen=True, slots=True)
class ReadReceived:
    """Asked: the highest offset of the master's stream that is on disk."""


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """Asked: the last `limit` events, oldest first."""

    limit: int = 200


@dataclass(frozen=True, slots=True)
class OutboxReady:
    """To the link: there is something new to send."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """To the link: send this if there is a session now; of equal keys only the newest."""

    key: str
    message: "Message"


@dataclass(frozen=True, slots=True)
class Bulk:
    """To the link: a chunk of a stream, for the bulk channel. `BulkGone` goes to `owner` once it left the link.

    An owner keeps few chunks with the link at a time (`BULK_CHUNKS`) and drops, counting, what it cannot give it: the
    link holds no queue of logs, and the gap is the owner's to tell.
    """

    message: "LogLines"
    owner: "Handle"


BULK_CHUNKS = 4
"""Chunks of one stream that its owner may have with the link at a time."""
BULK_CHUNK_BYTES = 32_768
"""What the lines of one chunk should have together; more than a frame can hold is dropped."""


@dataclass(frozen=True, slots=True)
class BulkGone:
    """From the link: this chunk was sent, or (no session, no room, too long) dropped."""

    stream: str
    sequence: int
    sent: bool
