"""The three import names are generic (docs/adr/0001): they must be ours alone in this environment."""

import importlib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOMS = ["actors", "protocol", "config"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_belongs_to_nobody_else(room):
    # An editable install lists no files of its own, so that only a stranger can stand here beside us.
    assert set(packages_distributions().get(room, [])) <= {"mosalamaagent"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_this_checkout(room):
    assert Path(importlib.import_module(room).__file__).parents[1] == Path(__file__).parents[1]


def test_the_two_commands_are_installed():
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert scripts["mosalamaagent"] == "actors.cli.main:main"
    assert scripts["mosalama-master"] == "actors.master.main:main"
