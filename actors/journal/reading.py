"""What the journal answers: rows as messages. One that nobody can read any more is passed over and said in the log."""

import structlog

from protocol.codec import decode
from protocol.errors import ProtocolError
from protocol.messages.base import Message
from protocol.messages.registry import ALL, parse
from protocol.messages.reports import CommandResult, Event

from . import messages as say
from .store import JournalStore


def outbox(store: JournalStore, after: int, limit: int) -> tuple[say.OutboxRow, ...]:
    """What the master does not have, above the offset `after`."""
    found: list[say.OutboxRow] = []
    while not found and (rows := store.outbox(after, limit)):
        read = [(at, mid, parsed(word, raw)) for at, mid, word, raw in rows]
        found = [say.OutboxRow(at, mid, message) for at, mid, message in read if message is not None]
        after = rows[-1][0]
    return tuple(found)


def events(store: JournalStore, limit: int) -> tuple[Message, ...]:
    """The last events, oldest first."""
    read = (parsed(Event.TYPE, raw) for raw in store.events(limit))
    return tuple(event for event in read if event is not None)


def desired(store: JournalStore) -> say.DesiredState:
    """What shall run, and the generation of every name that is known."""
    rows = store.desired()
    engines = tuple(say.Desired(name, at, spec, command) for name, at, spec, command in rows if spec is not None)
    return say.DesiredState(engines, {name: at for name, at, _, _ in rows})


def parsed(word: str, raw: bytes) -> Message | None:
    """One row; None when it is unreadable."""
    try:
        return parse(ALL, word, decode(raw))
    except ProtocolError as error:
        structlog.get_logger().error("journal.row_unreadable", actor="journal", word=word, why=str(error))
        return None


def command(store: JournalStore, command_id: str) -> say.CommandState | None:
    """How far a command is, and what became of it."""
    found = store.command(command_id)
    if found is None:
        return None
    _, state, result = found
    return say.CommandState(state, None if result is None else parsed(CommandResult.TYPE, result))
