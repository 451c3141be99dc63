"""What the journal is told of what happened: outcomes of commands, their progress, events. Pure."""

from collections.abc import Iterable

from actors.downloads.collection import Doomed, Plan
from actors.downloads.manager import words
from actors.downloads.manager.checking import Check
from actors.downloads.manager.wishes import Wish
from actors.downloads.space import Space
from actors.facts import TransferFacts
from actors.journal.messages import Emit, FinalState, Outcome, Progress
from actors.supervision.messages import TaskDone, TaskFailed
from protocol.messages.reports import Failure

Data = dict[str, str | int]
Said = Iterable[Outcome | Progress | Emit]


def progress(commands: Iterable[str], facts: TransferFacts) -> Said:
    """How far it is, for every command that waits for it."""
    detail = words.pace(facts)
    return [Progress(one, facts.state, facts.done_bytes, facts.total_bytes, "bytes", detail) for one in commands]


def over(wish: Wish, failure: Failure | None, data: Data) -> Said:
    """It is here, or will not come: every command that wanted it hears so, and the event once."""
    cancelled = wish.cancelled and failure is not None and failure.code == words.CANCELLED
    failure = words.cancelled(wish.source.uri) if cancelled else failure
    state: FinalState = "cancelled" if cancelled else "failed" if failure else "done"
    if cancelled:
        kind, text = "model.cancelled", "what it brought is kept for a later pull"
    elif failure is not None:
        kind, text = "model.failed", ": ".join(part for part in (failure.what, failure.why) if part)
    else:
        kind, text = "model.done", f"{data.get('size_bytes')} bytes, verified"
    asked = {"command_id": wish.commands[0]} if wish.commands else {}
    event = Emit(kind, "error" if kind == "model.failed" else "info", f"model/{wish.source.model}", text, asked)
    return [*(Outcome(one, state, failure, data) for one in wish.commands), event]


def verified(check: Check | None, ended: TaskDone | TaskFailed) -> Said:
    """What a verification found."""
    said: list[Outcome | Emit] = []
    failure, data = None, Data()
    if isinstance(ended, TaskFailed):
        failure = Failure(code="E_STORE", what="the verification ended", why=ended.error[:2_000], do="try again")
    elif isinstance(ended.value, tuple):
        failure, data = words.verdict(ended.value)
        damages = words.damages(ended.value)
        said += [Emit("model.damaged", "error", f"model/{version.model}", what) for version, what in damages]
    if check is not None and check.command_id is not None:
        said.append(Outcome(check.command_id, "failed" if failure else "done", failure, data))
    return said


def collected(command_id: str, plan: Plan, space: Space, *, dry_run: bool) -> Said:
    """What a collection came to, for the command that asked for it."""
    data = words.plan_data(plan, dry_run=dry_run) | words.space_data(space)
    return [Outcome(command_id, "done", None, data, words.plan_rows(plan))]


def not_collected(command_id: str | None, why: str) -> Said:
    """A collection failed."""
    if command_id is None:
        return []
    failure = Failure(code="E_STORE", what="the collection failed", why=why[:2_000], do="look at the disk")
    return [Outcome(command_id, "failed", failure)]


def gone(doomed: Iterable[Doomed]) -> Said:
    """Each removal is an event with its reason."""
    return [
        Emit(
            "model.collected",
            "info",
            f"model/{one.key}",
            f"{one.key} was removed: {one.why}; {one.frees_bytes} bytes are free again",
        )
        for one in doomed
    ]
