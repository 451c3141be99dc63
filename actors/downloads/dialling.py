"""Names looked up and connections made, and nobody is held: who waits asks four times a second whether it is wanted.

The system's resolver cannot be interrupted, and may take a minute: it is asked by a thread that is left behind then.
"""

import contextlib
import errno
import ipaddress
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import zip_longest
from queue import Empty, SimpleQueue
from typing import Self

from .address import Address, LookUp, system_look_up
from .errors import TransferError

ASK_S = 0.25
LOOK_UP_MAX_S = 30.0
"""A name server that has not answered by then does not answer."""
ATTEMPT_S = 0.25
"""After so long the next address is tried beside the one before (RFC 8305, section 5)."""
ADDRESSES_MAX = 16
"""Of one name."""
UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})
Unwanted = Callable[[], bool]
"""Whether nobody waits for it any more."""


def wanted() -> bool:
    """For who waits to the end."""
    return False


def patient(unwanted: Unwanted, look_up: LookUp = system_look_up) -> LookUp:
    """`look_up`, for LOOK_UP_MAX_S at most; OSError when it takes longer, or is unwanted."""

    def bounded(host: str, port: int) -> Sequence[str]:
        with contextlib.suppress(ValueError):
            return (str(ipaddress.ip_address(host)),)  # it needs no name server
        answers = SimpleQueue[Sequence[str] | Exception]()
        threading.Thread(target=_ask, args=(look_up, host, port, answers), name="look-up", daemon=True).start()
        until = time.monotonic() + LOOK_UP_MAX_S
        while not unwanted():
            with contextlib.suppress(Empty):
                answer = answers.get(timeout=ASK_S)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            if time.monotonic() > until:
                raise TimeoutError(f"no name server answered within {LOOK_UP_MAX_S:.0f} s")
        raise InterruptedError("it is not wanted any more")

    return bounded


def _ask(look_up: LookUp, host: str, port: int, answers: SimpleQueue[Sequence[str] | Exception]) -> None:
    try:
        answers.put(look_up(host, port))
    except Exception as error:  # noqa: BLE001  # whatever it is, the one who waits is told
        answers.put(error)


def connect(addresses: Sequence[Address], timeout_s: float, unwanted: Unwanted = wanted) -> socket.socket:
    """A connection to the checked address that answers first, `timeout_s` for each; never looks a name up.

    One is tried after the other, by turns of family and without waiting for the end of the one before: where IPv6 leads
    nowhere, that costs a quarter of a second and not `timeout_s` (RFC 8305, section 5).
    """
    with _Race(timeout_s) as race:
        left, next_at = deque(by_turns(addresses)[:ADDRESSES_MAX]), 0.0
        while left or race.runs:
            if unwanted():
                raise InterruptedError("it is not wanted any more")
            if left and (not race.runs or time.monotonic() >= next_at):
                race.start(left.popleft())
                next_at = time.monotonic() + ATTEMPT_S
            made = race.won(ATTEMPT_S if left else ASK_S)
            if made is not None:
                return made
        raise TransferError("E_NETWORK", f"{addresses[0][0]} does not answer", str(race.why), "", retry=True)


def by_turns(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 in turn, each in the order that the resolver gave, the family of the first one first."""
    first = [one for one in addresses if _is_ipv6(one) == _is_ipv6(addresses[0])]
    other = [one for one in addresses if one not in first]
    return [one for pair in zip_longest(first, other) for one in pair if one is not None]


def _is_ipv6(address: Address) -> bool:
    return ":" in address[0]


class _Race:
    """Connections that are being made; those that did not win are closed."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s, self._poll = timeout_s, select.poll()
        self._begun: dict[int, tuple[socket.socket, float]] = {}
        self.why: OSError | None = None
        """The last that failed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for made, _ in self._begun.values():
            made.close()

    @property
    def runs(self) -> bool:
        """Whether one is under way."""
        return bool(self._begun)

    def start(self, address: Address) -> None:
        """One more."""
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            family, kind, protocol, _, where = found[0]
            made = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine has not
            self.why = error
            return
        self._begun[made.fileno()] = made, time.monotonic() + self._timeout_s
        made.setblocking(False)
        code = made.connect_ex(where)
        if code in UNDER_WAY or not code:
            self._poll.register(made, select.POLLOUT)
        else:
            self._lost(made.fileno(), OSError(code, os.strerror(code)))

    def won(self, wait_s: float) -> socket.socket | None:
        """One that is made, within that time; it is the caller's then."""
        ready = self._poll.poll(min(wait_s, self._timeout_s) * 1_000) if self._begun else ()
        for descriptor, _ in ready:
            made, _ = self._begun[descriptor]
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                del self._begun[descriptor]
                return made
            self._lost(descriptor, OSError(code, os.strerror(code)))
        now = time.monotonic()
        for descriptor in [one for one, (_, until) in self._begun.items() if now > until]:
            self._lost(descriptor, TimeoutError(f"no answer within {self._timeout_s:.0f} s"))
        return None

    def _lost(self, descriptor: int, why: OSError) -> None:
        made, _ = self._begun.pop(descriptor)
        with contextlib.suppress(KeyError):  # it failed before it was waited for
            self._poll.unregister(descriptor)
        made.close()
        self.why = why
