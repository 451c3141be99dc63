"""What the manager says of its store, as rows and sentences. Pure."""

from collections.abc import Sequence

from actors.downloads.collection import Plan
from actors.downloads.space import Space
from actors.facts import ModelFacts

Row = dict[str, str | int | float | bool | None]
ROWS_MAX = 1_000
NAMES_SHOWN = 5


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
