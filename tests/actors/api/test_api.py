"""The local API over real sockets."""

import base64
import http.client
import json
import shutil
from types import MappingProxyType, SimpleNamespace
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.api.actor import ApiActor, Put
from actors.api.board import Board, plain
from actors.api.exposition import render
from actors.api.server import Readers
from actors.cli.client import DaemonRefusedError, fetch, follow, put
from actors.facts import EngineFacts, EnginesChanged, LinkChanged, ModelFacts, ModelsChanged, TransfersChanged
from actors.log.levels import Levels
from actors.supervision.spec import ChildSpec, Limit, SupervisorSpec
from actors.supervision.system import System
from config.api import ApiSettings
from tests.actors.api.bench import Bench
from tests.bed.places import short_folder
from tests.bed.processes import wait_until

SNAPSHOT = {
    "at": 1.0,
    "host": {"docker_up": True, "memory.total_bytes": 5, "load1": 0.5, "gone": None},
    "engines": {'a"b': {"running": 2, "state": "ready", "prompt_tokens_total": 7}},
    "containers": {"chat": {"memory_bytes": 3}},
    "collectors": {"docker": {"at": 1.0}, "gpu": {"at": 1.0}},
}


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def test_facts_that_rooms_tell_are_shown(bench):
    bench.handle.tell(EnginesChanged((EngineFacts("chat", "vllm", "ready"),)))
    bench.handle.tell(ModelsChanged((ModelFacts("org/m", "c", "/p", 5),)))
    bench.handle.tell(TransfersChanged(()))
    bench.handle.tell(LinkChanged("connected", "https://m", "a1"))
    bench.handle.tell(Put("snapshot", SNAPSHOT))
    wait_until(lambda: fetch(bench.run_dir, "/v1/metrics").get("host"), timeout_s=5, what="the snapshot")
    assert fetch(bench.run_dir, "/v1/engines")["engines"][0]["name"] == "chat"
    assert fetch(bench.run_dir, "/v1/models")["models"][0]["model"] == "org/m"
    status = fetch(bench.run_dir, "/v1/status")
    assert (status["link"]["state"], status["engines_ready"]) == ("connected", 1)
    assert fetch(bench.run_dir, "/v1/tree") == {"path": "/root"}
    assert fetch(bench.run_dir, "/v1/events") == {"events": [{"kind": "k"}]}


def test_healthz_is_the_trees_health_and_nothing_else(bench):
    assert bench.get("/healthz") == (200, '{"alive": true}')
    bench.healthy = False
    assert bench.get("/healthz")[0] == 503


def test_readyz_says_each_check_and_the_masters_absence_is_a_detail(bench):
    assert bench.get("/readyz")[0] == 503
    bench.handle.tell(EnginesChanged(()))
    bench.handle.tell(Put("snapshot", SNAPSHOT))
    wait_until(lambda: bench.get("/readyz")[0] == 200, timeout_s=5, what="ready")
    body = json.loads(bench.get("/readyz")[1])
    assert body["link"]["state"] == "unenrolled"
    assert set(body["checks"]) == {"sampled", "engines", "docker", "gpus"}


def test_the_metrics_page_is_read_by_the_client_library(bench):
    bench.handle.tell(Put("snapshot", SNAPSHOT))
    wait_until(lambda: "mosalama" in bench.get("/metrics")[1], timeout_s=5, what="figures")
    families = {family.name: family for family in text_string_to_metric_families(bench.get("/metrics")[1])}
    assert families["mosalama_host_memory_total_bytes"].samples[0].value == 5
    assert families["mosalama_engine_requests_running"].samples[0].labels == {"engine": 'a"b'}
    assert "mosalama_host_gone" not in families


def test_a_host_that_is_not_meant_is_refused(bench):
    assert bench.get("/v1/status", Host="evil.example")[0] == 421
    assert bench.get("/v1/status", Host="localhost:1")[0] == 200


def test_the_page_shows_the_facts_and_loads_nothing_from_elsewhere(bench):
    bench.handle.tell(EnginesChanged((EngineFacts("chat", "vllm", "gave_up", why="<script>alert(1)</script>"),)))
    bench.handle.tell(Put("snapshot", SNAPSHOT))
    text = wait_until(lambda: "chat" in (found := bench.get("/")[1]) and found, timeout_s=5, what="the engine")
    assert "gave_up" in text
    assert "<script>" not in text
    assert "http://" not in text.replace("http-equiv", "")
    assert "load1" in text
    status, style = bench.get("/static/plain.css")
    assert (status, "prefers-color-scheme" in style) == (200, True)


def test_only_reading_is_possible(bench):
    connection = http.client.HTTPConnection(urlsplit(bench.page).netloc, timeout=5)
    connection.request("POST", "/v1/status", b"x")
    assert connection.getresponse().status == 405
    connection.close()


def test_an_unknown_path_is_told_as_such(bench):
    with pytest.raises(DaemonRefusedError, match="404"):
        fetch(bench.run_dir, "/v1/nothing")


def test_the_control_socket_has_file_permissions(bench):
    assert (bench.run_dir / "control.sock").stat().st_mode & 0o777 == 0o660


def test_a_token_is_wanted_where_one_is_set(tmp_path):
    file = tmp_path / "token"
    file.write_text("planted-token\n")
    bench = Bench(token_file=file)
    assert bench.get("/v1/status")[0] == 401
    assert bench.get("/v1/status", Authorization="Bearer wrong")[0] == 401
    assert bench.get("/v1/status", Authorization="Bearer planted-token")[0] == 200
    status, headers, _ = bench.ask("/")
    assert (status, headers["WWW-Authenticate"].split()[0]) == (401, "Basic"), "a browser asks for it"
    for words, wanted in (("me:planted-token", 200), ("planted-token:", 401), ("me:wrong", 401)):
        given = base64.b64encode(words.encode()).decode()
        assert bench.get("/", Authorization=f"Basic {given}")[0] == wanted
    assert bench.get("/", Authorization="Basic %%%")[0] == 401
    bench.close()


def test_another_address_than_loopback_needs_a_token():
    with pytest.raises(ValueError, match="token_file"):
        ApiSettings(address="0.0.0.0")


def test_a_port_that_is_taken_gives_up_the_api_alone(bench):
    port = urlsplit(bench.page).port
    run_dir = short_folder()
    readers = Readers(tree=dict, events=list, healthy=lambda: True)

    def make():
        return ApiActor(settings=ApiSettings(port=port), run_dir=run_dir, board=Board(), readers=readers)

    system = System(SupervisorSpec(children=(ChildSpec("api", make, limit=Limit(3, 600.0)),)))
    system.start()
    wait_until(lambda: system.tree().children[0].restarts_total, timeout_s=10, what="a restart")
    assert system.healthy()
    system.stop()
    shutil.rmtree(run_dir)


def test_the_page_is_empty_without_figures():
    assert render({}) == ""
    assert plain((1, {"a": (2,)})) == [1, {"a": [2]}]


def test_what_cannot_be_changed_is_plain_data_too():
    assert plain(EngineFacts("a", "b", "c", gpus=("g",)))["gpus"] == ["g"]
    assert plain(MappingProxyType({"a": MappingProxyType({})})) == {"a": {}}


def test_log_levels_are_changed_over_the_control_socket_and_never_over_tcp():
    levels = Levels("info")
    with Bench(levels=levels) as bench:
        assert fetch(bench.run_dir, "/v1/log/level") == {"levels": {"": "info"}}
        assert put(bench.run_dir, "/v1/log/level", {"level": "debug", "actor": "link"})["levels"]["link"] == "debug"
        assert levels.now() == {"": "info", "link": "debug"}
        for wrong in ({"level": "loud"}, {}, [], "text"):
            with pytest.raises(DaemonRefusedError, match="400"):
                put(bench.run_dir, "/v1/log/level", wrong)
        assert bench.get("/v1/log/level")[0] == 404


def test_an_engines_log_is_streamed_and_what_cannot_be_had_is_told():
    asked = []

    def log(name, lines, more, _cancelled):
        if name != "chat":
            raise LookupError(f"{name}: there is no such engine with a container")
        asked.append((lines, more))
        yield from (b"one\n", b"", b"two\n")

    def source(*words):
        if words[0] == "down":
            raise OSError("Docker: refused")
        return log(*words)

    room = SimpleNamespace(box=list, docker=str, log=lambda name, lines: {"logs": [], "why": f"{name} {lines}"})
    with Bench(engine_log=source, engine=room) as bench:
        assert fetch(bench.run_dir, "/v1/engines/chat/log?lines=7") == {"logs": [], "why": "chat 7"}
        with pytest.raises(DaemonRefusedError, match="406"):
            fetch(bench.run_dir, "/v1/engines/chat/log?follow=1")
        assert bench.get("/v1/engines/chat/log?lines=5&follow=1") == (200, "one\ntwo\n")
        assert b"".join(follow(bench.run_dir, "/v1/engines/chat/log?lines=5")) == b"one\ntwo\n"
        with pytest.raises(DaemonRefusedError, match="no such engine"):
            list(follow(bench.run_dir, "/v1/engines/other/log"))
        assert asked == [(5, True), (5, False)]
        assert bench.get("/v1/engines/other/log")[0] == 404
        assert bench.get("/v1/engines/down/log")[0] == 502
        assert bench.get("/v1/engines/chat/log?lines=x")[0] == 400
