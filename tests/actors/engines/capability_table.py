"""Writes the table of docs/engines.md from the adapters: `python -m tests.actors.engines.capability_table`."""

from pathlib import Path

from actors.engines.kinds.capabilities import table
from actors.engines.kinds.table import known_kinds

PAGE = Path(__file__).parents[3] / "docs/engines.md"
BEGIN, END = "<!-- capabilities -->\n", "<!-- end of capabilities -->"


def page():
    """The page as it has to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}{table(known_kinds())}{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
