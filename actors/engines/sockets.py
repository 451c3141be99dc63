"""How many requests are in an engine, counted from outside: connections that are open to its listening ports.

For an engine whose own page does not say it. The kernel lists them for each network name space, and any user may read
that list. A client that keeps its connection open without a request counts, too: that waits longer, never less.
"""

import ipaddress
from pathlib import Path

ESTABLISHED, LISTEN = "01", "0A"
TABLES = ("tcp", "tcp6")


def connections(pid: int, proc: Path = Path("/proc")) -> int | None:
    """In the network name space of this process, those from elsewhere; None when it cannot be read."""
    try:
        tables = [(proc / str(pid) / "net" / name).read_text(encoding="ascii") for name in TABLES]
    except OSError:
        return None
    return count("\n".join(tables)) if pid else None


def count(table: str) -> int:
    """Of the kernel's lines `sl local:port remote:port state ...`, addresses in hexadecimal."""
    rows = [line.split()[1:4] for line in table.splitlines() if ":" in line]
    ports = {local.rpartition(":")[2] for local, _, state in rows if state == LISTEN}
    return sum(
        state == ESTABLISHED and local.rpartition(":")[2] in ports and not _of_loopback(remote)
        for local, remote, state in rows
    )


def _of_loopback(end: str) -> bool:
    """The kernel writes each four bytes of an address as one number of this machine's order."""
    digits = end.rpartition(":")[0]
    raw = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
