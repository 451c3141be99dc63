"""The bare thread: a queue, a thread that dies of an exception, and a supervisor thread that starts the next one.

This is the least that a restart can be in Python with plain threads: no isolation of what leaks, no bound, no budget.
"""

import queue
import threading
import time

from benchmarks.supervised.ours import Boom


class RawThread:
    """A contender like Ours."""

    def __enter__(self):
        self.inbox, self.downs = queue.Queue(), queue.Queue()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def __exit__(self, *_):
        self.inbox.put((None, None))
        self._supervisor.join(10.0)

    def _supervise(self):
        number, down = 0, True
        while down is not None:
            number += 1
            threading.Thread(target=self._work, args=(number,), name=f"echo#{number}", daemon=True).start()
            down = self.downs.get()

    def _work(self, number):
        inbox = self.inbox
        try:
            while True:
                message, reply = inbox.get()
                if message == "crash":
                    raise Boom("on purpose")
                if message is None:
                    break
                if reply is not None:
                    reply.put(message)
        except BaseException as error:  # noqa: BLE001  # the same deaths as ours
            self.downs.put((number, repr(error)))
        else:
            self.downs.put(None)

    def restart(self, count):
        """From the message that crashes it to the answer of its replacement, each time."""
        taken, clock = [], time.perf_counter
        for _ in range(count):
            reply, begun = queue.Queue(), clock()
            self.inbox.put(("crash", None))
            self.inbox.put(("first", reply))
            reply.get()
            taken.append(clock() - begun)
        return taken

    def tell(self, count):
        """Until the last one is handled."""
        put, reply, begun = self.inbox.put, queue.Queue(), time.perf_counter()
        for number in range(count):
            put((number, None))
        put(("last", reply))
        reply.get()
        return count / (time.perf_counter() - begun)
