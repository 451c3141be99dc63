"""Two hundred cut links and kills of either side: commands and events that were lost, doubled or out of order."""

import os
import tempfile
from pathlib import Path
from random import SystemRandom

from benchmarks.harness import Result, say

NAME = "delivery"
ROUNDS = int(os.environ.get("MOSALAMA_ROUNDS", "200"))


def run() -> list[Result]:
    """One run of so many rounds; the seed is said."""
    from tests.e2e.delivery import Delivery

    seed = int(os.environ.get("MOSALAMA_SEED", SystemRandom().randrange(2**32)))
    say(f"{ROUNDS} rounds, seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        world = Delivery(Path(folder), seed)
        try:
            found = world.run(ROUNDS)
        finally:
            world.close()
    say(f"{found.commands} commands, {found.events} events; {dict(found.done)}; {found.faults or 'nothing wrong'}")
    return [
        Result("delivery_rounds", "", "higher", float(found.rounds)),
        Result("delivery_commands", "", "higher", float(found.commands)),
        Result("delivery_faults", "", "lower", float(len(found.faults)), target=0.0),
    ]
