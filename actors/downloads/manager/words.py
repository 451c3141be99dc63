"""What the manager says of its store, as rows and sentences. Pure."""

from collections.abc import Sequence

from actors.downloads.collection import Plan
from actors.downloads.records import Version
from actors.downloads.space import Space
from actors.facts import ModelFacts, TransferFacts
from protocol.messages.reports import Failure

CANCELLED = "E_CANCELLED"
Found = tuple[tuple[Version, tuple[str, ...]], ...]
"""Each version with its files that are wrong."""
Row = dict[str, str | int | float | bool | None]
ROWS_MAX = 1_000
NAMES_SHOWN = 5


def cancelled(uri: str) -> Failure:
    """Of a transfer that was told to end."""
    do = "pull it again: it goes on where it was"
    return Failure(code=CANCELLED, what=f"the transfer of {uri} was cancelled", do=do)


def pace(facts: TransferFacts) -> str:
    """How fast it is and how long it takes, as far as that means something; why it waits."""
    rate = "" if facts.rate_bytes_s is None else f"{facts.rate_bytes_s:.0f} bytes/s"
    eta = "" if facts.eta_s is None else f"{facts.eta_s:.0f} s left"
    return ", ".join(part for part in (rate, eta, facts.why) if part)


def disk_failed(word: str, error: OSError) -> Failure:
    """Of a command that the disk did not let happen."""
    do = "look at the disk of downloads.models_dir"
    return Failure(code="E_STORE", what=f"{word} could not be done", why=str(error), do=do)


def model_rows(models: Sequence[ModelFacts]) -> tuple[Row, ...]:
    """One row for each version."""
    return tuple(
        {
            "model": one.model,
            "revision": one.revision,
            "source": one.source,
            "size_bytes": one.size_bytes,
            "files": one.files,
            "current": one.current,
            "pinned": one.pinned,
            "leases": one.leases,
            "last_used_at": one.last_used_at,
            "verified_at": one.verified_at,
            "damaged": len(one.damaged),
        }
        for one in models[:ROWS_MAX]
    )


def plan_rows(plan: Plan) -> tuple[Row, ...]:
    """What goes first, then what stays although nobody asked for it, each with why."""
    gone: list[Row] = [
        {"version": one.key, "removed": True, "frees_bytes": one.frees_bytes, "why": one.why} for one in plan.doomed
    ]
    stays: list[Row] = [{"version": one.key, "removed": False, "frees_bytes": 0, "why": one.why} for one in plan.spared]
    return tuple((gone + stays)[:ROWS_MAX])


def plan_data(plan: Plan, *, dry_run: bool) -> dict[str, str | int]:
    """What a collection comes to."""
    return {
        "frees_bytes": plan.frees_bytes,
        "short_bytes": plan.short_bytes,
        "versions": len(plan.doomed),
        "dry_run": int(dry_run),
    }


def damages(found: Found) -> tuple[tuple[Version, str], ...]:
    """Versions with wrong files, and what is told of each."""
    return tuple(
        (version, f"{version.model} {version.commit[:12]} is damaged: {named(names)}")
        for version, names in found
        if names
    )


def verdict(found: Found) -> tuple[Failure | None, dict[str, str | int]]:
    """What became of a verification: the last of what is wrong, and the figures."""
    failure = None
    for _, what in damages(found):
        failure = Failure(code="E_DAMAGED", what=what, why="not what was proven", do="pull it again: that mends it")
    return failure, {"versions": len(found), "damaged_files": sum(len(names) for _, names in found)}


def space_data(space: Space) -> dict[str, str | int]:
    """How full the store is."""
    return {
        "used_bytes": space.used_bytes,
        "promised_bytes": space.promised_bytes,
        "capacity_bytes": space.capacity_bytes,
        "room_bytes": max(0, space.room_bytes),
        "disk_free_bytes": space.free_bytes,
    }


def named(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
