"""The live stream over real sockets: what changed, to few, and never more than a viewer can take."""

import http.client
import json
import time

import pytest

from actors.api import server, stream
from actors.api.actor import Put
from actors.api.feed import Frame, encode
from actors.facts import EngineFacts, EnginesChanged, LinkChanged
from actors.supervision.messages import TaskDone
from tests.actors.api.bench import Bench
from tests.bed.processes import wait_until
from tests.fakes.event_stream import EventStream

SECTIONS = {"agent", "link", "engines", "models", "transfers", "alerts", "snapshot", "status", "tree", "events"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(stream, "TICK_S", 0.05)


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "agent.log"


@pytest.fixture
def bench(log_file):
    with Bench(log_file=log_file) as made:
        yield made


def engine(state):
    return EnginesChanged((EngineFacts("chat", "vllm", state),))


def line(event, **rest):
    return json.dumps({"at": "2026-01-01T00:00:00Z", "level": "info", "event": event} | rest) + "\n"


def test_the_first_event_has_everything_and_later_ones_what_changed(bench):
    bench.tell(engine("loading"))
    with EventStream(bench.page) as viewer:
        assert viewer.answer.headers["Content-Type"] == "text/event-stream"
        event, first = viewer.next()
        assert event == "facts"
        assert set(first) >= SECTIONS
        assert abs(first["at"] - time.time()) < 60
        assert viewer.next()[1].keys() == {"at"}, "a tick without news only says the time"
        bench.tell(engine("ready"))
        told = viewer.until(lambda _, data: "engines" in data)
        assert told["engines"][0]["state"] == "ready"
        assert "link" not in told


def test_figures_come_with_the_points_of_the_charts(bench):
    with EventStream(bench.page) as viewer:
        bench.tell(Put("snapshot", {"at": 5.0, "host": {"cpu.busy": 0.5}}))
        told = viewer.until(lambda _, data: data.get("snapshot"))
        assert told["snapshot"]["charted"] == {"host.cpu": 0.5}


def test_one_who_comes_later_gets_everything_too(bench, log_file):
    log_file.write_text(line("first"))
    with EventStream(bench.page) as viewer:
        viewer.until(lambda event, _: event == "log")
        with EventStream(bench.page) as second:
            assert set(second.next()[1]) >= SECTIONS
            assert second.until(lambda event, _: event == "log")["lines"][0]["event"] == "first"


def test_the_log_is_followed_over_its_rotation(bench, log_file):
    log_file.write_text(line("old", engine="chat", count=2))
    with EventStream(bench.page) as viewer:
        told = viewer.until(lambda event, _: event == "log")
        assert [(one["event"], one["text"]) for one in told["lines"]] == [("old", "engine=chat count=2")]
        with log_file.open("a") as file:
            file.write(line("new"))
        assert viewer.until(lambda event, _: event == "log")["lines"][0]["event"] == "new"
        log_file.rename(log_file.with_suffix(".1"))
        log_file.write_text(line("rotated"))
        assert viewer.until(lambda event, _: event == "log")["lines"][0]["event"] == "rotated"


def test_the_log_is_not_shown_where_it_should_not_be(log_file):
    log_file.write_text(line("secret"))
    with Bench(log_file=log_file, show_log=False) as bench, EventStream(bench.page) as viewer:
        assert {viewer.next()[0] for _ in range(4)} == {"facts"}


def test_a_ninth_viewer_is_refused_until_one_goes(bench):
    viewers = [EventStream(bench.page) for _ in range(stream.VIEWERS_MAX)]
    for viewer in viewers:
        viewer.next()
    with EventStream(bench.page) as refused:
        assert refused.answer.status == 503
        assert int(refused.answer.headers["Retry-After"]) > 0
    viewers.pop().close()
    wait_until(lambda: admitted(bench), timeout_s=5, what="a place")
    for viewer in viewers:
        viewer.close()


def admitted(bench):
    with EventStream(bench.page) as viewer:
        return viewer.answer.status == 200


def test_other_sites_may_not_even_take_a_place(bench):
    for site in ("cross-site", "same-site"):
        assert bench.get("/v1/stream", **{"Sec-Fetch-Site": site})[0] == 403
    with EventStream(bench.page, **{"Sec-Fetch-Site": "same-origin"}) as viewer:
        assert viewer.answer.status == 200


def test_nothing_is_looked_at_without_a_viewer(bench):
    with EventStream(bench.page) as viewer:
        viewer.next()
    wait_until(lambda: settled(bench), timeout_s=5, what="the end of looking")


def settled(bench):
    before = bench.trees_read
    time.sleep(4 * stream.TICK_S)  # as many looks at the tree as there would be
    return bench.trees_read == before


def test_one_who_takes_nothing_is_let_go_and_delays_nobody(bench, monkeypatch):
    monkeypatch.setattr(stream, "WRITE_S", 0.2)
    with EventStream(bench.page) as deaf, EventStream(bench.page) as viewer:
        for number in range(40):
            bench.tell(Put("snapshot", {"at": float(number), "host": {"filler": "x" * 400_000}}))
            viewer.until(lambda _, data, number=number: (data.get("snapshot") or {}).get("at") == number)
        wait_until(lambda: ended(deaf), timeout_s=10, what="its end")


def ended(viewer):
    try:
        return viewer.next() is None
    except (OSError, http.client.HTTPException):
        return True


def test_the_newest_of_each_section_is_kept_for_one_who_is_slow():
    viewer = stream._Viewer()
    for number in range(500):
        viewer.tell(Frame({"engines": str(number)}, ({"event": number},)))
    facts, log = viewer.take().decode().strip().split("\n\n")
    assert json.loads(facts.split("data: ")[1])["engines"] == 499
    told = json.loads(log.split("data: ")[1])
    assert told["left_out"] is True
    assert [one["event"] for one in told["lines"]] == list(range(300, 500))


def test_a_look_that_fails_lets_viewers_go_and_the_next_begins_anew(bench):
    with EventStream(bench.page) as viewer:
        viewer.next()
        good, bench.tree = bench.tree, None
        wait_until(lambda: ended(viewer), timeout_s=5, what="its end")
    bench.tree = good
    wait_until(lambda: begun(bench), timeout_s=5, what="a new stream")


def begun(bench):
    with EventStream(bench.page) as viewer:
        return (viewer.next() or ("", {}))[1].get("tree") == {"path": "/root", "children": []}


def test_a_journal_that_does_not_answer_keeps_nothing_else_back(bench):
    bench.events = None
    with EventStream(bench.page) as viewer:
        assert "events" not in viewer.next()[1]
        bench.events = [{"kind": "back"}]
        assert viewer.until(lambda _, data: "events" in data)["events"] == [{"kind": "back"}]


def test_the_server_ends_at_once_with_viewers(log_file, monkeypatch):
    """No viewer may keep the daemon from stopping: one that did would keep it beyond the time that a test has."""
    monkeypatch.setattr(server, "SHUTDOWN_S", 3_600.0)
    bench = Bench(log_file=log_file)
    viewers = [EventStream(bench.page) for _ in range(3)]
    for viewer in viewers:
        viewer.next()
    bench.close()
    for viewer in viewers:
        assert ended(viewer) or ended(viewer)
        viewer.close()


def test_the_overview_is_all_sections_in_one_answer(bench):
    bench.tell(LinkChanged("connected", "https://m", "a1"))
    status, text = bench.get("/v1/overview")
    assert (status, json.loads(text).keys()) == (200, SECTIONS)


def test_the_past_is_read_by_span_and_name(bench):
    for now in range(3):
        bench.history.add(10 + 5 * now, 1000 + 5 * now, {"host.cpu": now / 2, 'engine.a"b.tokens': 1.0})
    status, text = bench.get("/v1/history?span=15m&series=host.cpu")
    found = json.loads(text)
    assert (status, found["series"]["host.cpu"][-3:], found["step_s"]) == (200, [0, 0.5, 1], 5.0)
    assert set(found["series"]) == {"host.cpu"}
    assert set(json.loads(bench.get("/v1/history?span=24h")[1])["series"]) == {"host.cpu", 'engine.a"b.tokens'}
    assert bench.get("/v1/history?span=1y")[0] == 400
    assert bench.get("/v1/history?series=" + ",".join(map(str, range(300))))[0] == 400


def test_snapshots_make_the_past(bench):
    bench.tell(Put("snapshot", {"at": 5.0, "host": {"cpu.busy": 0.5}}))
    wait_until(lambda: bench.history.read("15m").series, timeout_s=5, what="a value")
    assert json.loads(bench.get("/v1/history")[1])["series"]["host.cpu"][-1] == 0.5


def test_what_has_no_json_is_null():
    assert encode({"a": float("inf")}) == "null"


def test_the_past_outlives_a_restart_of_the_api(bench):
    bench.tell(Put("snapshot", {"at": 5.0, "host": {"cpu.busy": 0.5}}))
    wait_until(lambda: bench.history.read("15m").series, timeout_s=5, what="a value")
    bench.tell(TaskDone(0, "server", None))
    wait_until(lambda: bench.system.tree().children[0].incarnation == 2, timeout_s=10, what="a restart")
    bench.page = wait_until(bench._page, timeout_s=10, what="the server")
    values = json.loads(bench.get("/v1/history")[1])["series"]["host.cpu"]
    assert [value for value in values if value is not None] == [0.5]
