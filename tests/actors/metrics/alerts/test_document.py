from pathlib import Path

from tests.actors.metrics.alerts_document import document


def test_the_page_of_alerts_is_current():
    page = Path(__file__).parents[4] / "docs" / "alerts.md"
    assert page.read_text() == document(), "run: python -m tests.actors.metrics.alerts_document > docs/alerts.md"
