"""Commands on the store that are answered where they are read: they take no time worth a thread."""

from dataclasses import dataclass

from actors.downloads.manager import words
from actors.downloads.store import ModelStore
from protocol.messages.base import Command
from protocol.messages.commands import ModelList, ModelPin, ModelRemove, ModelUse


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the command."""

    data: dict[str, str | int]
    rows: tuple[words.Row, ...] = ()
    changed: bool = True
    """Whether the store is another one than before."""


def answer(store: ModelStore, command: Command) -> Answer | None:
    """Carry it out; None for one of another kind. DownloadError, OSError."""
    match command:
        case ModelRemove():
            return Answer({"removed": store.remove(command.model, command.revision, force=command.force)})
        case ModelPin():
            commit = store.pin(command.model, command.revision, pinned=command.pinned)
            return Answer({"revision": commit, "pinned": int(command.pinned)})
        case ModelUse():
            return Answer({"revision": store.use(command.model, command.revision)})
        case ModelList():
            return Answer(words.space_data(store.space()), words.model_rows(store.models()), changed=False)
        case _:
            return None
