"""`python -m tests.simulation SEED` runs one seed and tells its story; a violation is shrunk to the fewest faults."""

import argparse
import sys

from tests.simulation.shrink import explain
from tests.simulation.world import simulate


def main(argv=None):
    """1 when a rule was broken."""
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("seed", type=int)
    asked.add_argument("--hours", type=float, default=3.0, help="with faults; a calm follows")
    asked.add_argument("--rate-s", type=float, default=50.0, help="mean seconds between two faults")
    asked.add_argument("--command-s", type=float, default=90.0, help="mean seconds between two commands")
    asked.add_argument("--only", help="numbers of faults with commas between, or none; the others are left out")
    words = asked.parse_args(argv)
    options = {"rate_s": words.rate_s, "command_s": words.command_s}
    only = None if words.only is None else frozenset(int(one) for one in words.only.split(",") if one != "none")
    report = simulate(words.seed, words.hours, only=only, **options)
    print(f"seed {words.seed}: {report.hours:.1f} h, {len(report.struck)} faults, {report.commands} commands,")
    print(f"{report.processes} processes, {report.checks} checks, trace {report.trace:08x}")
    if not report.violations:
        print("no rule was broken")
        return 0
    if only is None:
        print(explain(report, words.hours, **options))
    else:
        print("\n".join([*report.story, *report.violations]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
