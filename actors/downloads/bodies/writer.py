"""Writes blocks that are whole, so that their connections go on meanwhile."""

from actors.downloads.errors import DownloadError

from .crew import Crew
from .items import Item

WRITERS = 4
"""A disk takes the most from two blocks of this size at once."""
MUCH_BYTES = 64 << 10
"""What counts as progress: a server that gives a few bytes at each try is given up in the end."""


class Writer:
    """A thread; any block of any file."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    def run(self) -> None:
        """Until a None comes; what came before it is written, unless the disk fails."""
        crew = self._crew
        try:
            while (write := crew.writes.get()) is not None:
                item = write.item
                put_down(crew, item, write.begin, item.job.blocks.length(item.index))
                crew.wrote(item)
        except DownloadError as error:
            crew.fail(error)
        except Exception as error:  # a fault of ours must end the transfer loudly, not leave it waiting
            crew.crash(error)
            raise


def put_down(crew: Crew, item: Item, begin: int, end: int) -> None:
    """Bytes [begin, end) of a block are on disk, and counted. DownloadError."""
    item.job.write(item.index, item.view, begin, end, item.tag)
    much = end - begin >= MUCH_BYTES or end == item.job.blocks.length(item.index)
    crew.came(item.mirror, end - begin, much=much)
