"""What reports carry, and what is kept while nobody listens."""

from hypothesis import given
from hypothesis import strategies as st

from actors.metrics.report import DRAIN_MAX, VALUES_MAX, Reporter, Spool
from protocol.messages.reports import Report


def reporter(**settings):
    made = Reporter(**({"full_every": 3} | settings))
    made.link_is(up=True)
    return made


def said(made, at_ms, values, alerts=()):
    made.see(at_ms, values, alerts)
    return made.take()


def test_a_report_carries_changes_and_regularly_everything():
    made = reporter()
    seen = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1}, {"a": 1}]
    reports = [said(made, n, values)[0] for n, values in enumerate(seen)]
    assert [(key, report.full, report.values) for key, report in reports] == [
        ("report", True, {"a": 1, "b": 2}),
        ("report", False, {"b": 3}),
        ("report", False, {"b": None}),
        ("report", True, {"a": 1}),
    ]


def test_a_new_master_hears_everything():
    made = reporter(full_every=100)
    said(made, 0, {"a": 1})
    made.link_is(up=False)
    made.link_is(up=True)
    assert said(made, 1, {"a": 1})[0][1].full


def test_what_does_not_fit_one_message_goes_as_several_that_share_the_names_alike():
    made = reporter(full_every=2)
    values = {f"figure.{number}": number for number in range(3 * VALUES_MAX - 10)}
    first = said(made, 0, values)
    assert len(first) == 3
    assert [report.full for _, report in first] == [True, False, False]
    assert {name: value for _, report in first for name, value in report.values.items()} == values
    later = said(made, 1, values | {"figure.7": 0})
    place = next(key for key, report in first if "figure.7" in report.values)
    assert [key for key, report in later if report.values] == [place]
    again = said(made, 2, values)
    assert not any(report.full for _, report in again), "the parts of one full report must not wipe each other"


def test_while_nobody_listens_reports_are_kept_and_come_in_order_a_few_at_a_time():
    made = Reporter(full_every=3)
    for n in range(DRAIN_MAX + 5):
        made.see(n, {"a": n})
    assert made.take() == []
    made.link_is(up=True)
    first = made.take()
    assert [report.at_ms for _, report in first] == list(range(DRAIN_MAX))
    assert len({key for key, _ in first}) == DRAIN_MAX, "none replaces another"
    made.see(100, {"a": 100})
    rest = made.take()
    assert [report.at_ms for _, report in rest] == [*range(DRAIN_MAX, DRAIN_MAX + 5), 100]
    assert rest[-1][1].full
    assert not made.draining


def test_the_spool_is_bounded_and_the_oldest_go():
    spool = Spool(2_000)
    for n in range(200):
        spool.put(Report(at_ms=n, full=True, values={f"name.{n}.{m}": m for m in range(20)}))
    assert spool.share <= 1.0
    assert spool.dropped == 200 - len(spool)
    assert [report.at_ms for report in spool.take(1_000)] == list(range(spool.dropped, 200))
    assert spool.share == 0.0


VALUES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), max_size=8)


@given(st.lists(st.tuples(VALUES, st.booleans()), max_size=30))
def test_a_master_that_merges_always_knows_the_figures(steps):
    """Whatever is lost between: the link joins what waits, and a new session begins with everything."""
    made, master, waiting = reporter(full_every=4), {}, []
    for at_ms, (values, slow) in enumerate(steps):
        waiting += [report for _, report in said(made, at_ms, values)]
        if slow and len(waiting) > 1:
            waiting = [waiting[-1].after(waiting[-2])] if len(waiting) == 2 else waiting
            continue
        for report in waiting:
            master = dict(report.values) if report.full else {**master, **report.values}
        waiting = []
        assert {name: value for name, value in master.items() if value is not None} == values
