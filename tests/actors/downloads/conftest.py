import pytest

from tests.actors.downloads.answers import Answers
from tests.actors.downloads.shelf import Shelf


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(tmp_path / "models")
    yield made
    made.close()


@pytest.fixture
def web():
    made = Answers()
    yield made
    made.close()
