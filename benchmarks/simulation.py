"""A thousand simulated hours under faults: what is lost, done twice or stopped must be nothing.

Every row is a count or a rate of one run over many seeds; every `REPLAY_EVERY`th seed runs twice, and the two must be
the same turn for turn. One process for each core: the seeds share nothing.
"""

import itertools
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.harness import Result, say
from tests.simulation.world import Report, simulate

NAME = "simulation"
HOURS = 1_000.0
HOURS_A_SEED = 4.0
RATE_S = 50.0
"""Mean seconds between two faults."""
REPLAY_EVERY = 50
FAULTS_MIN = 20_000
MINUTES_MAX = 15.0
FIRST_SEED = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What one seed showed."""

    seed: int
    hours: float
    faults: int
    lost: int
    doubled: int
    stopped: int
    not_healed: int
    wrong: tuple[str, ...]
    replay_differs: bool


def one(seed: int) -> Seen:
    """Run one seed, and some twice."""
    report = simulate(seed, HOURS_A_SEED, rate_s=RATE_S)
    differs = False
    if seed % REPLAY_EVERY == 0:
        again = simulate(seed, HOURS_A_SEED, rate_s=RATE_S)
        differs = (again.trace, again.turns) != (report.trace, report.turns)
    return _seen(report, replay_differs=differs)


def _seen(report: Report, *, replay_differs: bool) -> Seen:
    return Seen(
        report.seed,
        report.hours,
        len(report.struck),
        len(report.lost),
        len(report.doubled),
        len(report.stopped),
        len(report.wrong),
        tuple(report.violations),
        replay_differs,
    )


def run() -> list[Result]:
    """The rows of the contract."""
    begun, totals, hours = time.monotonic(), Counter[str](), 0.0
    seeds = itertools.count(FIRST_SEED)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        while hours < HOURS:
            for seen in pool.map(one, itertools.islice(seeds, 50)):
                hours += seen.hours
                totals.update(
                    faults=seen.faults,
                    lost=seen.lost,
                    doubled=seen.doubled,
                    stopped=seen.stopped,
                    replays=seen.replay_differs,
                    not_healed=seen.not_healed,
                    wrong=bool(seen.wrong),
                )
                for text in seen.wrong:
                    say(text)
                if seen.wrong:
                    say(f"python -m tests.simulation {seen.seed} --hours {HOURS_A_SEED:g} finds the fewest faults")
            say(f"{hours:.0f} hours, {totals['faults']} faults, {totals['wrong']} seeds with a violation")
    minutes = (time.monotonic() - begun) / 60
    say(f"seeds {FIRST_SEED} to {next(seeds) - 1}")
    return [
        Result("simulated_hours_per_minute", "h/min", "higher", hours / minutes, target=HOURS / MINUTES_MAX),
        Result("faults", "faults", "higher", totals["faults"], target=FAULTS_MIN),
        Result("commands_lost", "commands", "lower", totals["lost"], target=0),
        Result("commands_doubled", "commands", "lower", totals["doubled"], target=0),
        Result("healthy_engines_stopped", "engines", "lower", totals["stopped"], target=0),
        Result("engines_not_healed", "engines", "lower", totals["not_healed"], target=0),
        Result("nondeterministic_replays", "replays", "lower", totals["replays"], target=0),
    ]
