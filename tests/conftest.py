"""Fixtures of the test bed for every test, and the checks that no test leaves anything behind."""

from hypothesis import settings

pytest_plugins = ["tests.bed.fixtures", "tests.bed.leftovers"]

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
