"""The three import names are generic (docs/adr/0001): they must be ours alone in this environment."""

from importlib.metadata import packages_distributions

import pytest


@pytest.mark.parametrize("room", ["actors", "protocol", "config"])
def test_a_room_belongs_to_nobody_else(room):
    assert set(packages_distributions()[room]) == {"mosalamaagent"}
