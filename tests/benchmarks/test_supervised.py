"""The contenders of the supervision benchmark do what they are measured at."""

import pytest

from benchmarks.supervised.ours import Ours
from benchmarks.supervised.raw_thread import RawThread
from benchmarks.supervised.stock_pykka import StockPykka


@pytest.mark.parametrize("contender", [Ours, RawThread, StockPykka])
def test_a_contender_restarts_and_takes_messages(contender):
    with contender() as one:
        taken = one.restart(3)
        assert len(taken) == 3
        assert all(seconds > 0 for seconds in taken)
        assert one.tell(50) > 0


@pytest.mark.parametrize("contender", [Ours, StockPykka])
def test_an_ask_is_answered_after_a_stop_and_a_start(contender):
    with contender() as one:
        one.stop_and_start()
        futures = [one.ask("hello") for _ in range(5)]
        one.stop_and_start()
        assert one.unresolved(futures) == 0
