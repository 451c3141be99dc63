"""The tree that docs/supervision.md shows. `python -m tests.simulation.drawing` writes it there anew."""

import tempfile
from pathlib import Path

from actors.supervision.tree import draw
from tests.simulation.world import World, quiet

PAGE = Path(__file__).parents[2] / "docs" / "supervision.md"
BEGIN, END = "<!-- drawn -->\n```text\n", "\n```\n"
QUIET_S = 30.0


def drawn():
    """The tree of a daemon that has just started on a quiet machine."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        world = World(1, Path(folder) / "world")
        world.start()
        world.schedule.run_until(world.schedule.now + QUIET_S)
        text = draw(world.process.system.tree())
        world.process.bury()
    return text


def shown():
    """What the page shows."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return rest.partition(END)[0]


def main():
    """Write it into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{drawn()}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
