import itertools
from pathlib import Path

from config.example import example_text
from config.load import load_text
from config.settings import Settings

SHIPPED = Path(__file__).parents[2] / "config" / "example.yaml"


def test_the_shipped_example_is_current():
    assert SHIPPED.read_text() == example_text(), "run: python -m config.example > config/example.yaml"


def test_the_shipped_example_loads_to_exactly_the_defaults():
    assert load_text(SHIPPED.read_text(), "example.yaml") == Settings()


def test_every_key_of_the_example_is_explained():
    lines = example_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if line.startswith("  ") and not line.lstrip().startswith("#") and not line.endswith(":"):
            assert before.lstrip().startswith("#"), f"no description for {line.strip()}"
