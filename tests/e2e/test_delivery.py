"""Every acknowledged command has one effect and one result, in order for each engine; no event is lost or doubled."""

import os
import random
import shutil

import pytest

from tests.bed.places import short_folder
from tests.e2e.delivery import Delivery

pytestmark = pytest.mark.e2e
ROUNDS = int(os.environ.get("MOSALAMA_ROUNDS", "12"))
"""Cut links and kills; two hundred by `python -m benchmarks delivery`."""


@pytest.mark.timeout(180 + 15 * ROUNDS)
def test_cut_links_and_kills_lose_and_double_nothing():
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    folder = short_folder()
    world = Delivery(folder, seed)
    try:
        found = world.run(ROUNDS)
    finally:
        world.close()
        shutil.rmtree(folder)
    assert found.faults == []
    assert found.commands >= ROUNDS // 2
