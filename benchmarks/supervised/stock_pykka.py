"""pykka as it comes, with the supervisor that its documentation allows: another actor, told by `on_failure`."""

import queue
import time

import pykka

from benchmarks.supervised.ours import Boom

GRACE_S = 2.0
"""An ask that has no answer this long after everything stopped will never have one."""


class Supervisor(pykka.ThreadingActor):
    """Starts the worker anew when it is told of its failure."""

    use_daemon_thread = True

    def __init__(self, world):
        super().__init__()
        self._world = world

    def on_receive(self, message):
        if message == "failed":
            self._world.start_worker()


class Echo(pykka.ThreadingActor):
    """Answers, or crashes when it is told to."""

    use_daemon_thread = True

    def __init__(self, supervisor):
        super().__init__()
        self._supervisor = supervisor

    def on_receive(self, message):
        if message == "crash":
            raise Boom("on purpose")
        return message

    def on_failure(self, *_):
        self._supervisor.tell("failed")


class StockPykka:
    """A contender like Ours. A dead worker's queue is gone, so its first message waits for the next worker."""

    def __enter__(self):
        self._supervisor = Supervisor.start(self)
        self._started = queue.SimpleQueue()
        self.start_worker()
        return self

    def __exit__(self, *_):
        for ref in (self.worker, self._supervisor):
            if ref.is_alive():
                ref.stop()

    def start_worker(self):
        """The next one."""
        self.worker = Echo.start(self._supervisor)
        self._started.put(self.worker)

    def restart(self, count):
        """From the message that crashes it to the answer of its replacement, each time."""
        taken, clock = [], time.perf_counter
        while not self._started.empty():
            self._started.get()
        for _ in range(count):
            begun = clock()
            self.worker.tell("crash")
            self._started.get().ask("first")
            taken.append(clock() - begun)
        return taken

    def tell(self, count):
        """Until the last one is handled."""
        tell, begun = self.worker.tell, time.perf_counter()
        for number in range(count):
            tell(number)
        self.worker.ask("last")
        return count / (time.perf_counter() - begun)

    def ask(self, message):
        """A promise of an answer; one that is refused counts as answered."""
        try:
            return self.worker.ask(message, block=False)
        except pykka.ActorDeadError:
            return None

    def stop_and_start(self):
        """Stop the actor and start another one, while others ask."""
        self.worker.stop()
        self.start_worker()

    def unresolved(self, futures):
        """How many have neither an answer nor an error."""
        end, lost = time.monotonic() + GRACE_S, 0
        for future in futures:
            if future is None:
                continue
            try:
                future.get(timeout=max(0.0, end - time.monotonic()))
            except pykka.Timeout:
                lost += 1
            except pykka.ActorDeadError:
                pass
        return lost
