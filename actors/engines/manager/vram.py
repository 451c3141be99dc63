"""GPUs that an engine gave back, and whether their memory is free. Pure: time and figures are arguments.

A container that is gone may leave processes that hold a GPU's memory. Such a GPU is not given to another engine until
its memory is back at its baseline; after too long it stays aside alone, loudly, and is still looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SLACK_BYTES = 512 << 20
"""More than the baseline by this much is still free: contexts of drivers and monitors come and go."""
HARD_S = 120.0
LOOK_S = 1.0
Used = Callable[[], Mapping[str, int] | None]
"""Bytes used of each GPU's memory by its UUID; None where nobody knows, and then nothing is concluded."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """GPUs of an engine that has ended."""

    engine: str
    gpus: tuple[str, ...]
    since: float
    told: bool = False


def settle(
    leaving: Leaving, used: Mapping[str, int] | None, baseline: Mapping[str, int], now: float
) -> tuple[tuple[str, ...], bool]:
    """(GPUs that still are not free, whether that is to be told now)."""
    if used is None:
        return (), False
    held = tuple(uuid for uuid in leaving.gpus if uuid in used and used[uuid] > baseline.get(uuid, 0) + SLACK_BYTES)
    return held, bool(held) and not leaving.told and now - leaving.since >= HARD_S


def baseline_of(known: Mapping[str, int], used: Mapping[str, int] | None, taken: Sequence[str]) -> Mapping[str, int]:
    """The baseline of every GPU that no engine has: what it uses when nothing of ours runs on it."""
    if used is None:
        return known
    return {**known, **{uuid: value for uuid, value in used.items() if uuid not in taken}}
