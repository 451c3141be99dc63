import pytest

from tests.actors.downloads.shelf import Shelf


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(tmp_path / "models")
    yield made
    made.close()
