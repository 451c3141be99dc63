"""What passed the network cards and the disks: only their own rows are read of what the kernel tells of all devices.

Formats: proc_net(5), and the kernel's Documentation/block/stat.rst.
"""

import os
from collections.abc import Hashable
from typing import Any, NamedTuple

from .procfs import Kept

SECTOR_BYTES = 512
LOOKS = 24
"""After so many reads it is looked again which devices there are; at once when one that was there is not."""
SLACK_BYTES = 256
"""By which figures may have become longer since it was looked."""
CARDS = "/proc/net/dev"
NET = "/sys/class/net"
BLOCK = "/sys/block"
NOT_DISKS = ("loop", "ram", "dm-", "md", "zram", "sr", "fd")
"""Devices that are no disk of their own: what they do is done by another, or by memory."""
NOT_CARDS = ("lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "dummy", "bonding_masters")


class Traffic(NamedTuple):
    """Bytes and faults since the boot, over all cards."""

    received_bytes: int
    sent_bytes: int
    faults: int
    """Packets that were damaged or dropped."""


class Cards:
    """Network cards; of a machine without any hardware card, everything that is not virtual by its name."""

    def __init__(self, net: str = NET) -> None:
        self._net = net
        self._left = self._size = 0
        """Bytes up to the last card's end: the kernel writes no row that is not asked for, and containers' are many."""
        self._places: list[int] = []
        """Where each row was in the last text."""
        self.known: tuple[bytes, ...] = ()
        """How the row of each card begins, from the end of the one before it."""

    def read(self, kept: Kept) -> Traffic | None:
        """Sums over the cards, None when there is none; what containers say to each other passes no card."""
        self._left -= 1
        text = kept.part(CARDS, 0, self._size) if self._left >= 0 else None
        traffic = None if text is None else self._sums(text)
        if traffic is None:
            text = kept.raw(CARDS)
            if text is None:
                return None
            self._look(text)
            traffic = self._sums(text)
        return traffic if self.known else None

    def _sums(self, text: bytes) -> Traffic | None:
        """None when a card's row is not there, or not whole."""
        received = sent = faults = 0
        for number, row in enumerate(self.known):
            at = self._places[number]
            if not text.startswith(row, at):
                at = self._places[number] = text.find(row)
            start = at + len(row)
            end = text.find(b"\n", start)
            if at < 0 or end < 0:
                return None
            words = text[start:end].split(None, 12)
            received += int(words[0])
            sent += int(words[8])
            faults += int(words[2]) + int(words[3]) + int(words[10]) + int(words[11])
        return Traffic(received, sent, faults)

    def _look(self, text: bytes) -> None:
        self._left = LOOKS
        rows = [b"\n" + line.partition(b":")[0] + b":" for line in text.split(b"\n")[2:-1]]
        names = {row: row[1:-1].strip().decode(errors="replace") for row in rows}
        real = [row for row, name in names.items() if os.access(f"{self._net}/{name}/device", os.F_OK)]
        self.known = tuple(real or [row for row, name in names.items() if not name.startswith(NOT_CARDS)])
        self._places = [text.find(row) for row in self.known]
        self._size = text.find(b"\n", self._places[-1] + 1) + SLACK_BYTES if self.known else SLACK_BYTES


class Disks:
    """Whole disks only: a partition's sectors are its disk's too."""

    def __init__(self, block: str = BLOCK) -> None:
        self._block = block
        self._left = 0
        self.known: tuple[str, ...] = ()
        """The file of each disk."""

    def read(self, kept: Kept) -> tuple[int, int] | None:
        """Bytes read and written since the boot; None when there is no disk that the kernel tells of."""
        self._left -= 1
        if self._left < 0:
            self._look(kept)
        read = written = 0
        gone = []
        for path in self.known:
            text = kept.raw(path)
            if text is None:
                gone.append(path)
                continue
            words = text.split(None, 7)
            read += int(words[2])
            written += int(words[6])
        if gone:
            self.known = tuple(path for path in self.known if path not in gone)
        return (read * SECTOR_BYTES, written * SECTOR_BYTES) if self.known else None

    def _look(self, kept: Kept) -> None:
        self._left = LOOKS
        try:
            found = tuple(
                f"{self._block}/{name}/stat"
                for name in sorted(os.listdir(self._block))  # noqa: PTH208  # names alone are wanted
                if not name.startswith(NOT_DISKS)
            )
        except OSError:
            found = ()
        for path in set(self.known) - set(found):
            kept.forget(path)
        self.known = found


class Paces:
    """Counters with what they grow by in a second: not after a step back, nor when other devices are counted."""

    def __init__(self, *names: str) -> None:
        self._names = tuple((f"{name}_total", f"{name}_per_s") for name in names)
        self._now_s = 0.0
        self._of: Hashable = None
        self._values: tuple[int, ...] = ()

    def put(self, figures: dict[str, Any], now_s: float, of: Hashable, values: tuple[int, ...]) -> None:
        """Each counter as `NAME_total`, and `NAME_per_s`; `of` is what was counted."""
        passed_s = now_s - self._now_s if of == self._of else 0.0
        old_values = self._values if passed_s > 0 else values
        for (total, pace), value, old in zip(self._names, values, old_values, strict=True):
            figures[total] = value
            if passed_s > 0 and value >= old:
                figures[pace] = round((value - old) / passed_s, 1)
        self._now_s, self._of, self._values = now_s, of, values
