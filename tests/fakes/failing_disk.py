"""A partial file on a disk that fails after so many bytes, with a real errno; all else is the real one."""

import os

from actors.downloads.bodies.partial import PartialFile, failed


class FailingDisk:
    """Makes partial files that share one budget of bytes; `number` is what comes after it."""

    def __init__(self, number: int, after_bytes: int) -> None:
        self.number, self.left = number, after_bytes

    def __call__(self, path, name, size_bytes) -> PartialFile:
        disk = self

        class Failing(PartialFile):
            def write(self, view, at):
                disk.left -= len(view)
                if disk.left < 0:
                    error = OSError(disk.number, os.strerror(disk.number))
                    raise failed(name, error) from error
                super().write(view, at)

        return Failing(path, name, size_bytes)
