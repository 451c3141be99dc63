"""What a person's word does to a wish, and what follows from that. Pure."""

from dataclasses import replace
from enum import StrEnum, auto

from actors.downloads.errors import StoreError
from actors.downloads.manager.wishes import Wish
from actors.downloads.manager.words import CANCELLED
from protocol.messages.commands import ModelCancel, ModelPause, ModelPriority
from protocol.messages.reports import Failure

Steering = ModelPause | ModelCancel | ModelPriority


class Next(StrEnum):
    """What is done with a wish that was steered."""

    STOP = auto()
    """Its actor is told to end; what it brought stays."""
    OVER = auto()
    """It will not come."""
    REST = auto()
    """It waits, paused or for a place."""
    GO_ON = auto()
    """Nothing: it runs."""


def steered(wish: Wish, command: Steering) -> Wish:
    """The wish after the command."""
    match command:
        case ModelPause(paused=paused):
            return replace(wish, said=True, paused=paused)
        case ModelPriority(priority=priority):
            return replace(wish, said=True, priority=priority)
        case ModelCancel():
            return replace(wish, cancelled=True)


def follows(wish: Wish) -> Next:
    """What is done now."""
    if wish.transfer_id and (wish.paused or wish.cancelled):
        return Next.STOP
    if wish.cancelled:
        return Next.OVER
    return Next.GO_ON if wish.transfer_id else Next.REST


def rests(wish: Wish, failure: Failure | None) -> bool:
    """Whether a wish whose actor ended is to go on later: somebody ended the actor, and nobody cancelled the wish."""
    return not wish.cancelled and failure is not None and failure.code == CANCELLED


def nothing_to_steer(command: Steering) -> StoreError:
    """There is no such transfer."""
    what = f"there is no transfer of {command.model} {command.revision or ''}".strip()
    return StoreError("E_NOT_FOUND", what, "", "see: mosalamaagent models")
