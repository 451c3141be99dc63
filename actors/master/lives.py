"""How old a waiting command is, by a clock that nobody sets. Pure: both clocks are arguments.

The time limit of a command is a length of time. A command that this process queued is as old as the steady clock says.
One that an earlier process left is as old as the wall clock said when this process began, and grows by the steady clock
from there: setting the clock later neither ends a command nor brings one back.
"""

from collections import OrderedDict

STEP_MS = 5_000
"""Between two looks: more than any drift, less than any time limit that matters."""
KEPT = 16_384
"""Commands whose beginning is remembered; of an older one the wall clock of the process's beginning decides."""


class Lives:
    """`wall_ms` and `steady_ms` are the two clocks when the process began."""

    def __init__(self, wall_ms: int, steady_ms: int) -> None:
        self._wall_ms, self._steady_ms = wall_ms, steady_ms
        self._began: OrderedDict[str, int] = OrderedDict()

    def began(self, command_id: str, steady_ms: int) -> None:
        """It is queued now."""
        self._began[command_id] = steady_ms
        if len(self._began) > KEPT:
            self._began.popitem(last=False)

    def over(self, command_id: str, issued_ms: int, ttl_ms: int, steady_ms: int) -> bool:
        """Whether its time to live has passed."""
        began = self._began.get(command_id)
        if began is None:
            began = self._steady_ms - max(0, self._wall_ms - issued_ms)
        return steady_ms - began > ttl_ms


class Steps:
    """Whether somebody set the wall clock: it moved otherwise than the steady one did since the last look."""

    def __init__(self, wall_ms: int, steady_ms: int) -> None:
        self._ahead_ms = wall_ms - steady_ms

    def moved_ms(self, wall_ms: int, steady_ms: int) -> int:
        """By how much it was set since the last look; 0 for a drift."""
        before, self._ahead_ms = self._ahead_ms, wall_ms - steady_ms
        moved = self._ahead_ms - before
        return moved if abs(moved) > STEP_MS else 0
