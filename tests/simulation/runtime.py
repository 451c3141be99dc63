"""The second runtime: greenlets on one thread, virtual time, and a seed that decides who runs next.

A worker runs until it waits; then any worker that can run is drawn by the seed. At the end of a lock's block the seed
may also take the word from a worker, as a real scheduler does. Virtual time moves when nobody can run, so an hour of
waiting costs nothing. `Schedule` is the machine, `SimRuntime` is one process on it: killing a process ends its workers
where they stand and leaves everybody else alone.
"""

import contextvars
import heapq
import itertools
import random
import traceback
import zlib
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

TICK_S = 1e-6
"""What one turn of a worker takes: time never stands still, so that a livelock shows."""
TURNS_MAX = 200_000
"""Turns within one second of virtual time beyond which something runs in a circle."""


class LivelockError(Exception):
    """Workers woke each other without end."""


class Schedule:
    """Virtual time, who can run, who waits until when. `trace` is a digest of every turn so far."""

    def __init__(self, seed: int, *, preempt: float = 0.01) -> None:
        self.seed, self.now = seed, 1_000.0
        self.rng = random.Random(f"{seed}/schedule")
        self.trace = 0
        self.turns = 0
        self.held = 0
        """Locks that the running worker holds: it may not lose its turn meanwhile."""
        self.running: SimWorker | None = None
        self.after_turn: Callable[[], None] | None = None
        self._preempt = preempt
        self._ready: list[SimWorker] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._hub = getcurrent()
        self._second, self._turns_before = 0, 0

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call this at that time, outside of every worker."""
        heapq.heappush(self._heap, (when, next(self._serial), call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call this in so many seconds."""
        self.at(self.now + delay_s, call)

    def ready(self, worker: "SimWorker") -> None:
        """This worker can run."""
        self._ready.append(worker)

    def run_until(self, end: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Let everybody run until that time, or until it is enough; the caller is nobody's worker."""
        while not enough() and self.turn(end):
            pass

    def turn(self, end: float = float("inf")) -> bool:
        """One turn of one worker, or one step of time; False when nothing is left before `end`."""
        if self._ready:
            index = int(self.rng.random() * len(self._ready))
            worker = self._ready[index]
            self._ready[index] = self._ready[-1]
            self._ready.pop()
            self._run(worker)
            return True
        if not self._heap or self._heap[0][0] > end:
            if end != float("inf"):
                self.now = max(self.now, end)
            return False
        when, _, call = heapq.heappop(self._heap)
        self.now = max(self.now, when)
        call()
        return True

    def settle(self) -> None:
        """Let everybody run who can run now; time stands still but for that."""
        while self._ready:
            self.turn()

    def _run(self, worker: "SimWorker") -> None:
        self.turns += 1
        self.now += TICK_S
        self.trace = zlib.crc32(worker.name.encode(), self.trace)
        if int(self.now) != self._second:
            self._second, self._turns_before = int(self.now), self.turns
        elif self.turns - self._turns_before > TURNS_MAX:
            raise LivelockError(f"{self.turns - self._turns_before} turns within a second, the last of {worker.name}")
        self.running = worker
        worker.green.switch()
        self.running = None
        if self.after_turn is not None:
            self.after_turn()

    def pause(self) -> None:
        """The running worker waits until somebody makes it ready."""
        self._hub.switch()

    def maybe_switch(self) -> None:
        """The seed may take the word from the running worker."""
        worker = self.running
        if worker is not None and not worker.runtime.dead and self.rng.random() < self._preempt:
            self._ready.append(worker)
            self._hub.switch()
            if worker.runtime.dead:
                raise GreenletExit

    def forget(self, workers: "set[SimWorker]") -> None:
        """These never run again."""
        self._ready = [worker for worker in self._ready if worker not in workers]


class SimLock:
    """Nobody else runs while its holder does not wait, and no holder waits: it only marks that."""

    __slots__ = ("_schedule",)

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __enter__(self) -> None:
        self._schedule.held += 1

    def __exit__(self, kind: object, *_: object) -> None:
        schedule = self._schedule
        schedule.held -= 1
        if not schedule.held and kind is None:
            schedule.maybe_switch()


class SimParker:
    """Where one worker waits; outside of workers, waiting lets everybody run."""

    __slots__ = ("_runtime", "_turn", "_waiter", "_woken")

    def __init__(self, runtime: "SimRuntime") -> None:
        self._runtime = runtime
        self._woken = False
        self._waiter: SimWorker | None = None
        self._turn = 0

    def park(self, timeout_s: float | None) -> bool:
        """Wait until woken; False when the time passed first."""
        schedule = self._runtime.schedule
        worker = schedule.running
        if worker is None:
            return self._drive(timeout_s)
        if worker.runtime.dead:
            raise GreenletExit
        assert not schedule.held, f"{worker.name} waits while it holds a lock"
        if not self._woken:
            self._turn += 1
            self._waiter = worker
            if timeout_s is not None:
                turn = self._turn
                schedule.after(max(0.0, timeout_s), lambda: self._late(turn))
            schedule.pause()
            if worker.runtime.dead:
                raise GreenletExit
        woken, self._woken = self._woken, False
        return woken

    def unpark(self) -> None:
        """Wake; a second wake before the wait changes nothing."""
        self._woken = True
        self._release()

    def _late(self, turn: int) -> None:
        if turn == self._turn:
            self._release()

    def _release(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.runtime.dead:
            self._turn += 1
            self._runtime.schedule.ready(waiter)

    def _drive(self, timeout_s: float | None) -> bool:
        schedule = self._runtime.schedule
        end = float("inf") if timeout_s is None else schedule.now + max(0.0, timeout_s)
        while not self._woken and schedule.turn(end):
            pass
        woken, self._woken = self._woken, False
        return woken


class SimWorker:
    """A greenlet of one process."""

    def __init__(self, runtime: "SimRuntime", name: str, fn: Callable[[], None]) -> None:
        self.runtime, self.name, self._fn = runtime, name, fn
        self._joining: list[SimParker] = []
        self.green = greenlet(self._run)
        self.green.gr_context = contextvars.copy_context()

    def _run(self) -> None:
        try:
            self._fn()
        except GreenletExit:
            pass
        except BaseException:
            if not self.runtime.dead:
                self.runtime.escaped.append(f"{self.name}\n{traceback.format_exc()}")
        finally:
            self.runtime.workers.discard(self)
            for parker in self._joining:
                parker.unpark()

    def is_alive(self) -> bool:
        """Whether its function has not returned yet."""
        return self in self.runtime.workers

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; a worker does not wait for itself."""
        if self.is_alive() and self.runtime.schedule.running is not self:
            parker = self.runtime.parker()
            self._joining.append(parker)
            parker.park(timeout_s)
        return not self.is_alive()

    def stack(self) -> str:
        """Where it is now."""
        frame = self.green.gr_frame
        return "" if frame is None else "".join(traceback.format_stack(frame))


class SimRuntime:
    """One process on a schedule; the interface is actors.supervision.runtime.Runtime."""

    def __init__(self, schedule: Schedule, name: str = "") -> None:
        self.schedule, self._name = schedule, name
        self.workers: set[SimWorker] = set()
        self.escaped: list[str] = []
        """What left a worker and should not have."""
        self.dead = False
        self.refuses_workers = 0
        """So many of the next workers cannot be had."""

    def now(self) -> float:
        """Monotonic seconds."""
        return self.schedule.now

    def rng(self, name: str) -> random.Random:
        """A generator of its own for `name`."""
        return random.Random(f"{self.schedule.seed}/{self._name}/{name}")

    def lock(self) -> SimLock:
        """Mutual exclusion."""
        return SimLock(self.schedule)

    def parker(self) -> SimParker:
        """A new place to wait."""
        return SimParker(self)

    def spawn(self, name: str, fn: Callable[[], None]) -> SimWorker:
        """Start a worker in a copy of the caller's context."""
        if self.dead:
            raise GreenletExit
        if self.refuses_workers and self.workers:
            self.refuses_workers -= 1
            raise RuntimeError("can't start new thread")
        worker = SimWorker(self, name, fn)
        self.workers.add(worker)
        self.schedule.ready(worker)
        return worker

    def check(self) -> None:
        """For what the process does to the world: a dead one does nothing more."""
        if self.dead:
            raise GreenletExit

    def kill(self) -> None:
        """End every worker where it stands; from outside of them."""
        assert self.schedule.running is None or self.schedule.running.runtime is not self
        self.dead = True
        self.schedule.forget(self.workers)
        for worker in sorted(self.workers, key=lambda one: one.name):
            if worker.green:
                self.schedule.running = worker
                worker.green.throw(GreenletExit)
        self.schedule.running, self.schedule.held = None, 0
        self.workers.clear()
