"""The GPU driver's events in the kernel's log: what the driver's own event queue loses while nobody waits.

Read without blocking, from the end on; where the log may not be read (a service without the right) there is none.
Form of a line: the kernel's Documentation/ABI/testing/dev-kmsg; of an event: `NVRM: Xid (PCI:0000:3b:00): 79, ...`.
"""

import os
import re
import select
from pathlib import Path

FILE = Path("/dev/kmsg")
RECORD_BYTES = 8_192
RECORDS_MAX = 1_000
"""Of one look: a driver that writes without end must not hold its reader."""
XID = re.compile(rb"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")


class KernelLog:
    """One reader of the log from now on."""

    def __init__(self, file: Path = FILE) -> None:
        self._descriptor = -1
        self._poll = select.poll()
        try:
            self._descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._poll.register(self._descriptor, select.POLLIN)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            pass  # no right to it, or no log: the driver's own events remain

    def xids(self) -> list[tuple[str, int]]:
        """New events: (bus address as `address_of` writes it, code)."""
        found: list[tuple[str, int]] = []
        if not self._poll.poll(0):
            return found  # nearly always: to ask costs half of a read that finds nothing
        for _ in range(RECORDS_MAX):
            try:
                record = os.read(self._descriptor, RECORD_BYTES)
            except BrokenPipeError:
                continue  # records were overwritten before they were read; the next read goes on behind them
            except OSError:
                break
            if not record:
                break
            found += [(address_of(where.decode()), int(code)) for where, code in XID.findall(record)]
        return found

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def address_of(text: str) -> str:
    """A bus address in one form: `0000:3b:00`, whatever the length of its domain and with or without a function."""
    domain, bus, device = text.lower().partition(".")[0].rsplit(":", 2)
    return f"{domain[-4:]}:{bus}:{device}"
