"""A thousand actors that wait: what they weigh, and how long one look of the watchdog at all of them takes.

Run in a process of its own, so that nothing else is weighed: `python -m benchmarks.supervised.idle ours|raw_thread`
says one line of JSON.
"""

import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time

from actors.supervision.actor import Actor
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from benchmarks.procfs import pss_mib
from benchmarks.supervised.ours import MANY

ACTORS = 1_000
SCANS = 200
WARM = 20
LIMIT_S = 120


def of(contender):
    """{"mib": ..., "scan_us": ...} of "ours" or "raw_thread"."""
    argv = [sys.executable, "-m", "benchmarks.supervised.idle", contender]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout)


def _ours():
    few, many = _system(1), _system(ACTORS)
    few.start()
    few.stop()
    before = _mine()
    many.start()
    grown = _mine() - before
    scans = []
    for number in range(WARM + SCANS):
        begun = time.perf_counter()
        many.watchdog.scan()
        if number >= WARM:
            scans.append((time.perf_counter() - begun) * 1e6)
    many.stop()
    return {"mib": grown, "scan_us": statistics.median(scans)}


def _system(actors):
    children = tuple(ChildSpec(f"a{number}", Actor) for number in range(actors))
    return System(SupervisorSpec(children=children, intensity=MANY, period_s=1e12))


def _raw_thread():
    threading.stack_size(512 * 1024)
    inboxes = [queue.Queue() for _ in range(ACTORS + 1)]
    threads = [threading.Thread(target=inbox.get, daemon=True) for inbox in inboxes]
    threads[0].start()
    before = _mine()
    for thread in threads[1:]:
        thread.start()
    grown = _mine() - before
    for inbox in inboxes:
        inbox.put(None)
    return {"mib": grown}


def _mine():
    return pss_mib([os.getpid()])


if __name__ == "__main__":
    print(json.dumps({"ours": _ours, "raw_thread": _raw_thread}[sys.argv[1]]()))
