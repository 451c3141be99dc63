"""What the journal says to the master, made from what rooms say to it. Pure: time and ids are arguments.

A room's mistake (a text that is too long, a number that is none) costs its own message some of its content and never
the journal: what is made here is always valid and always fits into one frame.
"""

from collections.abc import Mapping
from typing import Any

from protocol.codec import encode
from protocol.errors import Code, ProtocolError
from protocol.limits import BODY_MAX_BYTES
from protocol.messages.base import Message
from protocol.messages.commands import AgentReload, AgentUpdate
from protocol.messages.registry import ALL, dump, parse
from protocol.messages.reports import CommandProgress, CommandResult, Event, Failure

from . import messages as say
from .mass_stop import Burst

PAYLOAD_MAX_BYTES = BODY_MAX_BYTES - 1_024
"""What a payload may have, so that it fits into a body with its head."""
SHORT, LONG = 256, 4_096
SEVERITIES = frozenset({"info", "warning", "error", "critical"})


def packed(message: Message) -> bytes:
    """The bytes that lie on the disk."""
    return encode(dump(message))


def fits(message: Message) -> bool:
    """Whether it can be sent at all: one that cannot would end every session in which it is tried."""
    return len(packed(message)) <= PAYLOAD_MAX_BYTES


def event_of(emit: say.Emit, event_id: str, at_ms: int) -> Message:
    """The event; its fields are left out when they cannot be said."""
    severity = emit.severity if emit.severity in SEVERITIES else "error"
    known = {"event_id": event_id, "at_ms": at_ms, "severity": severity}
    known |= {"kind": emit.kind[:SHORT], "subject": emit.subject[:SHORT], "text": emit.text[:LONG]}
    return _made(Event, known, "fields", emit.fields)


def result_of(outcome: say.Outcome) -> Message:
    """The result; its data are left out when they cannot be said. ProtocolError when it is of no command."""
    error = None if outcome.error is None else outcome.error.model_dump(mode="python")
    known = {"command_id": outcome.command_id, "state": outcome.state, "error": error}
    return _made(CommandResult, known, "data", outcome.data, {"rows": tuple(dict(row) for row in outcome.rows)})


def progress_of(progress: say.Progress) -> Message:
    """How far a command is. ProtocolError when it is of no command."""
    texts = {name: getattr(progress, name)[:SHORT] for name in ("command_id", "stage", "unit", "detail")}
    return parse(ALL, CommandProgress.TYPE, texts | {"done": max(0, progress.done), "total": max(0, progress.total)})


def _made(
    kind: type[Message],
    known: dict[str, Any],
    name: str,
    free: Mapping[str, object],
    more: Mapping[str, object] | None = None,
) -> Message:
    try:
        message = parse(ALL, kind.TYPE, {**known, **(more or {}), name: dict(free)})
        if fits(message):
            return message
        why = "too long"
    except ProtocolError as error:
        why = str(error)[:SHORT]
    return parse(ALL, kind.TYPE, {**known, name: {"left_out": why}})


def expired() -> Failure:
    """The command came after its time."""
    return Failure(
        code="E_EXPIRED",
        what="the command was not carried out",
        why="its time to live was over when it arrived",
        do="send it again with a longer time to live",
    )


INSTEAD = {
    AgentReload.TYPE: "restart it on its machine: systemctl restart mosalamaagent; its engines go on meanwhile",
    AgentUpdate.TYPE: "install the release on its machine and restart it; its engines go on meanwhile",
}
"""What does the same until the agent can do it by itself."""


def unsupported(word: str) -> Failure:
    """A command of the set that nobody here carries out."""
    return Failure(
        code=str(Code.UNSUPPORTED),
        what=f"{word} was not carried out",
        why="this version of the agent knows the command and has no part that does it",
        do=INSTEAD.get(word, "install a newer version of the agent; its engines go on meanwhile"),
    )


def unconfirmed(name: str, burst: Burst, window_s: float) -> Failure:
    """It would stop much of what this machine serves."""
    return Failure(
        code=str(Code.CONFIRM),
        what=f"engine {name} was not stopped",
        why=f"it would be number {burst.stopped} of {burst.of} engines stopped within {window_s:g} s",
        do="if it is meant, send it again confirmed: mosalama-master engine stop --confirm",
    )


def busy(word: str, why: str) -> Failure:
    """It was not begun and may be sent again."""
    return Failure(code="E_BUSY", what=f"{word} was not begun", why=why[:LONG], do="send it again later")


def unreadable(word: str, why: str) -> Failure:
    """A command of the ledger that this version does not understand."""
    return Failure(
        code="E_SCHEMA",
        what=f"{word} was not carried out",
        why=f"this version does not read what an earlier one accepted: {why}"[:LONG],
        do="send it again",
    )
