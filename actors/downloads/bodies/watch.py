"""What the caller's thread does four times a second: slow connections, durability, progress, how many connections."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence

from .adapt import PERIOD_S, Adapted, adapt
from .api import Progress
from .crew import Crew
from .worker import Worker

LOOK_S = 0.25
SLOW_AFTER_S, SLOW_AT_END_S = 5.0, 1.0
"""The second when others have nothing left to do but what it holds."""
SLOW_SHARE = 1 / 8
"""A connection below this share of the median rate leaves its block to another."""
LEAST_BYTES_S = 1_024
REST_S = 5.0
RATE_S = 5.0
BARRIER_BYTES = 1 << 30


class Watch:
    """See the module."""

    def __init__(self, crew: Crew, total_bytes: int, silence_s: float, most: int, barrier_s: float) -> None:
        self._crew, self._total, self._silence_s, self._most = crew, total_bytes, silence_s, most
        self._barrier_s = barrier_s
        now = time.monotonic()
        self._past: deque[tuple[float, int]] = deque([(now, 0)])
        self._barrier_at, self._barrier_bytes = now, 0
        self._period_at, self._period_bytes, self._adapted = now, 0, Adapted(crew.allowed)

    def look(self, workers: Sequence[Worker], tell: Callable[[Progress], None]) -> None:
        """Once."""
        now = time.monotonic()
        self._slow(workers, now)
        self._durable(now)
        self._adapt(now)
        tell(self.progress(now))

    def _slow(self, workers: Sequence[Worker], now: float) -> None:
        if self._crew.control.paused or self._crew.held:
            for worker in workers:  # those that wait for memory or for the cap, too
                worker.kill()
            return
        at_work = [(worker, item) for worker in workers if (item := worker.item) is not None]
        usual = statistics.median([worker.rate for worker in workers if worker.rate] or [0.0])
        slow_s = SLOW_AT_END_S if self._crew.hungry else SLOW_AFTER_S
        for worker, item in at_work:
            age, taken = now - worker.since, item.job.taken
            rate = worker.got / max(age, 1e-3)
            if age > self._silence_s and rate < LEAST_BYTES_S:
                worker.kill(rest_s=REST_S, blame=True)
            elif item.stream or len(workers) < 2:
                continue  # another one could only begin the stream again
            elif age > slow_s * 2 ** taken[item.index] and rate < usual * SLOW_SHARE:
                taken[item.index] += 1
                worker.kill(rest_s=REST_S)

    def _durable(self, now: float) -> None:
        received = self._crew.received_bytes
        if received - self._barrier_bytes < BARRIER_BYTES and now - self._barrier_at < self._barrier_s:
            return
        self._barrier_at, self._barrier_bytes = now, received
        for job in self._crew.open_jobs():
            if not job.small:
                job.barrier()

    def _adapt(self, now: float) -> None:
        if now - self._period_at < PERIOD_S:
            return
        rate = (self._crew.received_bytes - self._period_bytes) / (now - self._period_at)
        self._period_at, self._period_bytes = now, self._crew.received_bytes
        refused, self._crew.refused = self._crew.refused, False
        self._adapted = adapt(self._adapted, rate, self._most, refused=refused)
        self._crew.allowed = self._adapted.connections

    def progress(self, now: float) -> Progress:
        """How far it is."""
        crew = self._crew
        self._past.append((now, crew.received_bytes))
        while now - self._past[0][0] > RATE_S:
            self._past.popleft()
        since, before = self._past[0]
        rate = (crew.received_bytes - before) / (now - since) if now - since > LOOK_S / 2 else None
        left = self._total - crew.done_bytes
        state = "paused" if crew.control.paused else "waiting" if crew.held else "transferring"
        eta = left / rate if rate else None
        return Progress(state, crew.done_bytes, self._total, rate, eta, crew.busy, crew.held)
