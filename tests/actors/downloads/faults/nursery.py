"""Forks one transfer for each line on standard input, so that it can be killed: FOLDER URL HOW; says its process id.

HOW is `several` when an answer brings all blocks that are missing even while the hash waits.

A program of its own: it has one thread, so a fork of it is a whole process.
"""

import os
import sys
from pathlib import Path

from actors.downloads.bodies.job import Job
from tests.actors.downloads.faults.conftest import Bench
from tests.actors.downloads.faults.kills import BIG, BIG_BLOCK


def main() -> None:
    for line in sys.stdin:
        folder, url, how = line.split()
        child = os.fork()
        if not child:
            if how == "several":
                Job.plenty = lambda _job, _now: True
            bench = Bench(Path(folder))
            bench.bring(bench.file(url, body=BIG), block_bytes=BIG_BLOCK, barrier_s=0.2)
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
