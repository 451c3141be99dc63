"""From a run that broke a rule to the fewest faults that still break it: runs with some left out, again and again."""

import time
from dataclasses import dataclass

from tests.simulation.world import Report, simulate

RUNS_MAX = 120
SECONDS_MAX = 240.0
"""Of searching; what was found by then is shown."""


@dataclass(frozen=True)
class Smallest:
    """What is left: `numbers` of faults, and the report of the run with these alone."""

    numbers: frozenset
    of: int
    runs: int
    report: Report
    replay: str

    def __str__(self):
        report = self.report
        faults = "\n".join(f"  {one}" for one in report.struck)
        return (
            f"seed {report.seed}: of {self.of} faults {len(self.numbers)} are enough ({self.runs} runs):\n{faults}\n"
            + "\n".join(report.violations)
            + f"\nto see it again: {self.replay}\n"
            + "\n".join(report.story)
        )


class Shrinker:
    """Takes faults away for as long as a rule of the same kind is still broken."""

    def __init__(self, seed, hours, **options):
        self._seed, self._hours, self._options = seed, hours, options
        self._runs, self._end = 0, time.monotonic() + SECONDS_MAX

    def smallest(self, report):
        """The fewest faults, found by leaving out halves, quarters and so on down to single ones."""
        kinds = report.kinds
        numbers = [one.number for one in report.struck]
        found, size = self._run(numbers, kinds) or report, max(1, len(numbers) // 2)
        while size and self._left():
            shorter = self._without_one_part(numbers, size, kinds)
            if shorter is None:
                size = 0 if size == 1 else max(1, size // 2)
            else:
                numbers, found = shorter
                size = min(size, max(1, len(numbers) // 2))
        return Smallest(frozenset(numbers), len(report.struck), self._runs, found, self._replay(numbers))

    def _without_one_part(self, numbers, size, kinds):
        for start in range(0, len(numbers), size):
            kept = numbers[:start] + numbers[start + size :]
            seen = self._run(kept, kinds) if self._left() else None
            if seen is not None:
                done = {one.number for one in seen.struck}
                return [number for number in kept if number in done], seen
        return None

    def _run(self, numbers, kinds):
        self._runs += 1
        report = simulate(self._seed, self._hours, only=frozenset(numbers), until=kinds, **self._options)
        return report if report.kinds & kinds else None

    def _left(self):
        return self._runs < RUNS_MAX and time.monotonic() < self._end

    def _replay(self, numbers):
        words = [f"python -m tests.simulation {self._seed} --hours {self._hours:g}"]
        words += [f"--{name.replace('_', '-')} {value:g}" for name, value in self._options.items()]
        return " ".join([*words, "--only", ",".join(map(str, sorted(numbers))) or "none"])


def explain(report, hours, **options):
    """The smallest run that breaks the same rule, as text for whoever reads the failure."""
    return str(Shrinker(report.seed, hours, **options).smallest(report))
