"""One thread looks at all that answers quickly, in one wake-up; what does not keeps a thread of its own.

On a machine that sleeps most of a look's cost is to come to it, so what is due at once is looked at by one thread. Any
look may hang for ever, a driver's above all. It then keeps the thread that is in it, and a fresh one goes on with the
rest: a look that took long leaves by itself, and one that does not return is found from outside. Whoever was slow looks
alone, in its own thread, and comes back after so many quick looks. What has to be started first begins alone, and comes
after a few.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from .collector import TOGETHER_S, Chore, Collected, Collector, Waiter, on_grid

SLOW_S = 0.25
"""A look that took longer goes on alone."""
STUCK_S = 1.0
"""A look that is under way for longer is left to its thread."""
GUARD_S = 5.0
"""Between two looks of the guard: with STUCK_S the longest that a look which hangs holds up the others."""
QUICK_LOOKS = 20
"""In a row, after which a look that was slow comes back. More than lie between two of its dear ones, by default."""
START_LOOKS = 3
"""The same of a look that began alone."""
LEAD_S = 0.03
"""So long before the beat what is alone looks: what it saw goes with the beat, and the sooner that follows, the more of
what both need is still in the processor's caches."""
Show = Callable[[tuple[Collected, ...], float], None]
"""Takes what one wake-up saw, and when the next comes."""
Member = Collector | Chore


class Beat:
    """Threads call `run` (one is in charge) and `alone` until the flag is set, and one calls `look_after` now and then.

    `lock` is the runtime's. `successor` asks for one more thread that calls `run`; it must not block, and may be called
    once more than needed.
    """

    def __init__(
        self,
        members: Sequence[Member],
        flag: Waiter,
        wall: Callable[[], float],
        beat_s: float,
        lock: AbstractContextManager[object],
        *,
        together: Show,
        apart: Show,
        successor: Callable[[], None],
    ) -> None:
        self._members, self._flag, self._wall, self._beat_s, self._lock = tuple(members), flag, wall, beat_s, lock
        self._together, self._apart, self._successor = together, apart, successor
        self._charge: object = None
        """Stands for the thread that has the beat."""
        self._inside: tuple[Member, float] | None = None
        """What it looks at, and since when."""
        self._seen: tuple[Collected, ...] = ()
        """By this wake-up, and not shown yet."""
        self._first = True
        for member in members:
            member.due_s = flag.now()

    def run(self) -> str | None:
        """Have the beat, unless another thread has it; the name of what ended, where this thread was left to that."""
        mine = object()
        with self._lock:
            if self._charge is not None:
                return None
            self._charge = mine
        while not self._flag.wait(self._next_s() - self._flag.now()):
            slow = self._round(mine)
            if slow is not None:
                return self._goes_on(slow)
            if self._flag.is_set():
                break
        for member in self._members:
            member.close()
        return None

    def _round(self, mine: object) -> Member | None:
        """Look at what is due, and show it; or what this thread has to go on with alone."""
        now = self._flag.now
        until_s = now() + TOGETHER_S
        due = [member for member in self._members if member.due_s <= until_s]
        for member in due:
            member.before()
        for member in due:
            began_s = now()
            self._inside = (member, began_s)
            seen = member.once(now, self._wall)
            if self._first:
                member.due_s = on_grid(self._beat_s, member.interval_s, member.due_s)
            with self._lock:
                taken = self._charge is not mine
                if not taken:
                    self._inside = None
                    self._seen += () if seen is None else (seen,)
            if taken:
                if seen is not None and not self._flag.is_set():
                    self._apart((seen,), 0.0)
                return member
            if self._flag.is_set():
                return None
            if now() - began_s > SLOW_S:
                self._leave(member)
                return member
        self._first = False
        shown, self._seen = self._seen, ()
        self._together(shown, self._next_s())
        return None

    def _next_s(self) -> float:
        """When something is due; or somebody may have come back, where everybody is alone."""
        return min((one.due_s for one in self._members), default=self._flag.now() + GUARD_S)

    def _leave(self, member: Member) -> None:
        """From now on another thread has the beat, and this member is alone."""
        with self._lock:
            self._part(member)
        self._successor()

    def _part(self, member: Member) -> None:
        self._members = tuple(one for one in self._members if one is not member)
        self._charge = self._inside = None

    # -- alone -----------------------------------------------------------------------------------------------

    def alone(self, member: Member) -> str | None:
        """In a thread of its own until it is quick; its name when there is nothing to look at, ever."""
        member.due_s = self._flag.now()
        return self._on_alone(member, START_LOOKS)

    def _goes_on(self, member: Member) -> str | None:
        """After a look that was slow."""
        self._schedule(member)
        return self._on_alone(member, QUICK_LOOKS)

    def _schedule(self, member: Member, lead_s: float = LEAD_S) -> None:
        member.due_s = on_grid(self._beat_s - lead_s, member.interval_s, self._flag.now() + member.interval_s / 2)

    def _on_alone(self, member: Member, most: int) -> str | None:
        flag, quick = self._flag, 0
        while quick < most:
            if flag.wait(member.due_s - flag.now()):
                member.close()
                return None
            began_s = flag.now()
            member.before()
            seen = member.once(flag.now, self._wall)
            if member.ended:
                member.close()
                return member.name
            if seen is not None and not flag.is_set():
                self._apart((seen,), 0.0)
            quick = quick + 1 if flag.now() - began_s <= SLOW_S else 0
            self._schedule(member)
        with self._lock:
            self._schedule(member, 0.0)
            self._members = (*self._members, member)
        return None

    # -- from outside ----------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """The guard's look, each GUARD_S by a thread that never hangs: does the beat, or has nobody it?"""
        with self._lock:
            inside = self._inside
            if inside is not None and self._flag.now() - inside[1] > STUCK_S:
                self._part(inside[0])  # before it can come back, and the beat be in another look
            lost = self._charge is None
        if lost:
            self._successor()
