"""Kills a transfer with SIGKILL at a point that the origin's count says, in a process of its own."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

BIG_BLOCK = 512 << 10
BIG = random.Random(66).randbytes((16 << 20) - 12_345)
RATE = 3 << 20
"""Bytes a second of one connection: so slow that nothing waits in the sockets."""
LIMIT_S = 30.0


class Nursery:
    """See the module."""

    def __init__(self):
        self.program = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.downloads.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )

    def kill_at(self, folder, origin, sent, how="-"):
        """Begin a transfer, kill it once the origin has sent so many bytes; how many it had sent in the end."""
        print(folder, origin.url, how, file=self.program.stdin, flush=True)
        child = int(self.program.stdout.readline())
        until = time.monotonic() + LIMIT_S
        while origin.sent < sent:
            assert time.monotonic() < until, f"only {origin.sent} bytes were asked for"
            origin.moved.wait(0.05)
            origin.moved.clear()
        os.kill(child, signal.SIGKILL)
        assert self.program.stdout.readline() == "ended\n"
        return origin.sent

    def close(self):
        self.program.stdin.close()
        self.program.stdout.close()
        self.program.wait(10)
