"""Asks that race a stop, from several threads, at a switch interval that finds what is not atomic."""

import sys
import threading
from contextlib import contextmanager

ASKS = 120_000
ASKERS = 4
SWITCH_S = 1e-6


@contextmanager
def _restless():
    """The interpreter may take the word from a thread every microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def unresolved(contender):
    """Of `ASKS` asks, how many never got an answer or an error, while the actor is stopped and started again."""
    futures = [[] for _ in range(ASKERS)]

    def ask(mine):
        mine.extend(contender.ask("hello") for _ in range(ASKS // ASKERS))

    askers = [threading.Thread(target=ask, args=(mine,), daemon=True) for mine in futures]
    with contender, _restless():
        for asker in askers:
            asker.start()
        while any(asker.is_alive() for asker in askers):
            contender.stop_and_start()
        contender.stop_and_start()
        return contender.unresolved(future for mine in futures for future in mine)
