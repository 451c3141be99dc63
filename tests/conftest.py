"""Fixtures of the test bed for every test, and the checks that no test leaves anything behind."""

pytest_plugins = ["tests.bed.fixtures", "tests.bed.leftovers"]
