import re
from pathlib import Path

from tests.protocol.attacks import catalogue


def test_every_number_is_there_once_and_is_shown_or_has_its_reason():
    assert list(catalogue.rows()) == list(range(1, 104))
    shown, written = set(catalogue.places()), set(catalogue.WRITTEN)
    assert shown | written == set(range(1, 104))
    assert not shown & written, "a row that is shown needs no reason"


def test_the_page_names_tests_that_exist_for_every_row():
    """A newer test of a row may be missing on the page until it is written again; a test that is gone may not stand."""
    page = (Path(__file__).parents[3] / "docs" / "attacks.md").read_text()
    known = {place for found in catalogue.places().values() for place in found}
    named = re.findall(r"`(tests/[^`]+::[^`]+)`", page)
    assert set(named) <= known, "run: python -m tests.protocol.attacks.catalogue > docs/attacks.md"
    lines = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [line.split("|")[1:4] for line in lines] == [
        [f" {number} ", f" {name} ", f" {outcome} "] for number, (name, outcome) in catalogue.rows().items()
    ]
