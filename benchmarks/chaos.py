"""Five thousand faults on real threads: what was accepted is done once, and threads and memory stay flat."""

import os
import secrets
import tempfile
from pathlib import Path

from benchmarks.harness import Result, say
from benchmarks.procfs import rss_mib
from tests.chaos.world import World

NAME = "chaos"
FAULTS = 5_000
ROUNDS = 10
"""Worlds one after the other in this process; memory is compared between the second and the last."""
GROWTH_MIB = 8.0


def run() -> list[Result]:
    """Counts over all rounds."""
    lost, doubled, accepted, faults, left, restarts = 0, 0, 0, 0, 0, 0
    sizes: list[float] = []
    for _ in range(ROUNDS):
        seed = secrets.randbits(32)
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            report = World(seed, Path(folder)).run(FAULTS // ROUNDS)
        say(f"seed {seed}: {report.accepted} commands, {report.restarts} restarts")
        lost, doubled = lost + len(report.lost), doubled + len(report.doubled)
        accepted, faults = accepted + report.accepted, faults + sum(report.faults.values())
        left, restarts = left + max(0, report.threads_after - report.threads_before), restarts + report.restarts
        sizes.append(rss_mib([os.getpid()]))
    return [
        Result("faults", "faults", "higher", faults, target=FAULTS),
        Result("commands_accepted", "commands", "higher", accepted),
        Result("restarts", "restarts", "higher", restarts),
        Result("commands_lost", "commands", "lower", lost, target=0),
        Result("commands_doubled", "commands", "lower", doubled, target=0),
        Result("threads_left", "threads", "lower", left, target=0),
        Result("memory_growth_mib", "MiB", "lower", sizes[-1] - sizes[1], target=GROWTH_MIB),
    ]
