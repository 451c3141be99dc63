import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.link.outgoing import QUEUE_MAX, Item, Outgoing
from protocol.flow import GRANT_AT, WINDOW_BYTES, Granting, Lane, Spending, lane_of
from protocol.messages.control import Heartbeat
from protocol.messages.reports import LogLines, Report

BEAT = Heartbeat(at_ms=1)


def chunk(number=1):
    return LogLines(stream="0" * 32, sequence=number, engine="e", lines=("x",))


def report():
    return Report(at_ms=1, full=True, values={})


def test_the_lane_of_a_message_is_the_same_on_both_sides():
    assert lane_of(BEAT, None) is Lane.CONTROL
    assert lane_of(BEAT, 7) is Lane.STATE
    assert lane_of(report(), None) is Lane.FIGURES
    assert lane_of(chunk(), None) is Lane.BULK


@pytest.mark.parametrize("lane", [Lane.FIGURES, Lane.BULK])
def test_a_lane_without_credit_waits_until_it_gets_some_back(lane):
    flow = Spending(credited=True)
    flow.spend(lane, WINDOW_BYTES[lane] - 1, None)
    assert flow.may(lane)
    flow.spend(lane, 30_000, None)
    assert not flow.may(lane)
    flow.granted(lane, 29_999)
    assert not flow.may(lane)
    flow.granted(lane, 1)
    assert flow.may(lane)


def test_a088_credit_that_was_never_spent_is_taken_for_the_window():
    flow = Spending(credited=True)
    flow.granted(Lane.BULK, 1 << 24)
    flow.spend(Lane.BULK, WINDOW_BYTES[Lane.BULK], None)
    assert not flow.may(Lane.BULK)
    flow.granted(Lane.CONTROL, 1 << 24)  # a lane that has no credit has none to be given


def test_the_acknowledgement_is_the_credit_of_the_state_lane():
    flow = Spending(credited=False)
    flow.spend(Lane.STATE, WINDOW_BYTES[Lane.STATE] // 2, 1)
    assert flow.may(Lane.STATE)
    flow.spend(Lane.STATE, WINDOW_BYTES[Lane.STATE] // 2, 2)
    assert not flow.may(Lane.STATE)
    flow.acknowledged(0)
    assert not flow.may(Lane.STATE)
    flow.acknowledged(1)
    assert flow.may(Lane.STATE)


@given(st.lists(st.integers(min_value=1, max_value=65_535), max_size=200))
def test_whatever_is_consumed_comes_back_and_never_more(sizes):
    flow, granting, spent, back = Spending(credited=True), Granting(), 0, 0
    for size in sizes:
        if not flow.may(Lane.BULK):
            pytest.fail("a receiver that consumes at once never lets a sender starve")
        flow.spend(Lane.BULK, size, None)
        spent += size
        due = granting.consumed(Lane.BULK, size)
        back += due
        flow.granted(Lane.BULK, due)
    assert spent - WINDOW_BYTES[Lane.BULK] // GRANT_AT < back + 1 <= spent + 1


def test_lower_lanes_go_first_and_a_lane_that_may_not_send_is_passed_over():
    outgoing = Outgoing()
    for lane, message in ((Lane.BULK, chunk()), (Lane.FIGURES, report()), (Lane.CONTROL, BEAT)):
        outgoing.put(Item(lane, message))
    assert outgoing.take().lane is Lane.CONTROL
    assert outgoing.take(lambda lane: lane is not Lane.FIGURES).lane is Lane.BULK
    assert outgoing.take().lane is Lane.FIGURES
    assert outgoing.take() is None


def test_figures_of_one_key_are_one_message_and_bulk_has_a_bound():
    outgoing = Outgoing()
    for number in range(5):
        outgoing.put(Item(Lane.FIGURES, Heartbeat(at_ms=number), key="report"))
    assert outgoing.take().message.at_ms == 4
    assert outgoing.take() is None
    assert all(outgoing.put(Item(Lane.BULK, chunk(number))) for number in range(QUEUE_MAX[Lane.BULK]))
    assert not outgoing.put(Item(Lane.BULK, chunk()))
    assert len(outgoing.drop(lambda item: item.lane is Lane.BULK)) == QUEUE_MAX[Lane.BULK]
