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
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from .address import Address, LookUp, system_look_up
from .errors import TransferError

ASK_S = 0.25
LOOK_UP_MAX_S = 30.0
"""A name server that has not answered by then does not answer."""
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
    """A connection to the first checked address that answers, `timeout_s` for each; never looks a name up."""
    why: OSError | None = None
    for address in addresses:
        try:
            return _dial(address, timeout_s, unwanted)
        except InterruptedError:
            raise
        except OSError as error:
            why = error
    raise TransferError("E_NETWORK", f"{addresses[0][0]} does not answer", str(why), "", retry=True) from why


def _dial(address: Address, timeout_s: float, unwanted: Unwanted) -> socket.socket:
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, kind, protocol, _, where = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        _await(made, made.connect_ex(where), timeout_s, unwanted)
    except BaseException:
        made.close()
        raise
    return made


def _await(made: socket.socket, code: int, timeout_s: float, unwanted: Unwanted) -> None:
    poll, until = select.poll(), time.monotonic() + timeout_s
    poll.register(made, select.POLLOUT)
    while code in UNDER_WAY:
        if unwanted():
            raise InterruptedError("it is not wanted any more")
        if time.monotonic() > until:
            raise TimeoutError(f"no answer within {timeout_s:.0f} s")
        if poll.poll(min(ASK_S, timeout_s) * 1_000):
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
