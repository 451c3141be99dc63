"""The page on supervision shows the tree as it is."""

from tests.simulation.drawing import drawn, shown


def test_the_tree_on_the_page_is_the_tree_of_the_code():
    assert shown() == drawn(), "python -m tests.simulation.drawing writes it anew"
