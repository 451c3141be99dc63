"""Engines that misbehave, and what becomes of each: real Docker, an image of our own (tests/bed/odd_engine_main.py)."""

import json
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from actors.engines.sockets import connections
from protocol.messages.commands import EngineStart, EngineStop
from tests.bed.processes import wait_until

pytestmark = pytest.mark.timeout(120)

REQUEST_S = 100.0
"""A request that takes longer fails its test."""


def begin(bench, manner, number=1, **fields):
    """Tell an engine of these manners to start; the command's id."""
    given = {"env": {"LLAMA_ARG_ODD": manner}, "memory_bytes": 128 << 20, "cpus": 0.5}
    given |= {"probes": {"start_timeout_s": 20.0, "interval_s": 0.2, "timeout_s": 1.0, "failures": 3}}
    spec = bench.spec(**(given | fields))
    return bench.send(number, EngineStart(name="chat", generation=number, spec=spec))


def serving(bench, manner, **fields):
    result = bench.result(begin(bench, manner, **fields))
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def gone(bench, reason):
    facts = bench.wait(lambda facts: facts.state == "gave_up", "given up")
    assert facts.cause == reason, facts
    assert facts.next_try_at > time.time()
    assert "engine.gave_up" in bench.events()
    wait_until(
        lambda: not [one for one in bench.containers.find(bench.label, "chat") if one.running],
        timeout_s=20,
        what="gone",
    )
    return facts


def test_one_that_ends_by_itself_is_started_again_until_its_budget_is_spent(odd):
    serving(odd, "leave=0.4")
    facts = gone(odd, "crashed")
    assert len(facts.attempts) == 3  # two more, and then no more
    assert all("exit 3" in attempt and "the last word before the end" in attempt for attempt in facts.attempts)
    assert odd.events().count("engine.ready") == 3


def too_much(endpoint):
    """A request that the engine dies of."""
    with pytest.raises(OSError):  # noqa: PT011  # closed or reset, as it happens
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/v1/completions", b'{"too_much": 1}'), timeout=20)


def test_one_that_served_is_back_at_once_and_why_it_died_is_told_after_that(odd):
    first = serving(odd, "good", restart={"attempts": 1, "backoff_min_s": 0.1})
    too_much(first.endpoint)
    second = odd.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "back")
    odd.wait(lambda facts: facts.cause == "gpu_out_of_memory", "the cause is known")
    told = [event.text for event in odd.event_list() if event.kind in {"engine.died", "engine.cause"}]
    assert "it crashed" in told[0]
    assert "the GPU's memory was not enough" in told[1]
    too_much(second.endpoint)
    facts = gone(odd, "gpu_out_of_memory")
    assert all("exit 1" in attempt and "ggml_cuda: out of memory" in attempt for attempt in facts.attempts)
    assert len(facts.attempts) == 2


def test_one_whose_memory_is_not_enough_runs_with_less_where_its_spec_allows_that(odd, docker_engine):
    restart = {"safe_mode": True, "attempts": 4, "backoff_min_s": 0.1}
    facts = serving(odd, "greedy=1024", context_length=4_096, restart=restart)
    assert "safe mode: a context of 1024 instead of 4096" in facts.why
    with docker_engine.client() as client:
        words = client.api.inspect_container(facts.container_id)["Args"]
    assert words[words.index("--ctx-size") + 1] == "1024"
    assert len(facts.attempts) == 3  # twice as its spec says, then with 2048
    told = [event.text for event in odd.event_list() if event.kind == "engine.safe_mode"]
    assert [text.split("context of ")[1].split()[0] for text in told] == ["2048", "1024"]


def test_one_whose_memory_is_not_enough_is_given_up_at_once_where_its_spec_wants_it_as_it_is(odd):
    begin(odd, "greedy=1024", context_length=4_096)
    assert len(gone(odd, "gpu_out_of_memory").attempts) == 1


def signals(docker_engine, container_id, since_s):
    """What Docker sent to this container since that moment, in order, and that it died."""
    with docker_engine.client() as client:
        told = client.api.events(
            since=since_s, until=int(time.time()) + 1, decode=True, filters={"container": container_id}
        )
        return [one["Actor"]["Attributes"].get("signal", "died") for one in told if one["Action"] in {"kill", "die"}]


def test_one_that_ignores_sigterm_is_killed_at_the_deadline(odd, docker_engine):
    since_s = int(time.time())
    facts = serving(odd, "deaf")
    assert odd.result(odd.send(2, EngineStop(name="chat", generation=2, drain_s=0.0))).state == "done"
    assert signals(docker_engine, facts.container_id, since_s) == ["15", "15", "9", "died"]  # as llama.cpp is stopped
    assert not odd.containers.find(odd.label)


def test_one_that_never_makes_a_token_is_never_called_ready(odd):
    result = odd.result(begin(odd, "hang=0", probes={"start_timeout_s": 1.0}, restart={"attempts": 0}))
    assert result.state == "failed"
    assert "gave no token" in result.error.why
    gone(odd, "no_tokens")
    assert "engine.ready" not in odd.events()


def test_one_that_stops_making_tokens_while_its_health_is_200_is_replaced(odd):
    first = serving(odd, "hang=1")
    second = odd.wait(lambda facts: facts.restarts and facts.state == "ready", "replaced")
    assert second.container_id != first.container_id
    assert second.cause == "no_tokens"
    assert any("no token came" in attempt for attempt in second.attempts)


def test_one_that_eats_memory_is_stopped_by_its_limit_and_its_neighbour_serves_on(odd):
    spec = odd.spec(memory_bytes=128 << 20, cpus=0.5, probes={"interval_s": 0.2})
    assert odd.result(odd.send(9, EngineStart(name="neighbour", generation=1, spec=spec))).state == "done"
    begin(odd, "eat=400", restart={"attempts": 1, "backoff_min_s": 0.1})
    facts = gone(odd, "host_out_of_memory")
    assert any("more memory than it may" in attempt for attempt in facts.attempts)
    assert (odd.facts("neighbour").state, odd.facts("neighbour").restarts) == ("ready", 0)


def test_one_that_floods_its_log_serves_on_and_its_log_stays_small(odd, docker_engine):
    facts = serving(odd, "flood")
    with docker_engine.client() as client:
        raw = client.api.inspect_container(facts.container_id)
    log = Path(raw["LogPath"])
    wait_until(lambda: log.with_name(f"{log.name}.1").exists(), timeout_s=30, what="the log turned")
    size = sum(path.stat().st_size for path in log.parent.glob(f"{log.name}*"))
    assert size < 4 * odd.settings.log_max_bytes * 2
    assert odd.facts().state == "ready"


def test_one_that_forks_without_end_meets_its_limit_and_ends_whole(odd):
    facts = serving(odd, "fork")
    wait_until(
        lambda: any("no more children" in line for line in odd.containers.logs(facts.container_id, 20)),
        timeout_s=30,
        what="the limit of its processes",
    )
    assert odd.result(odd.send(2, EngineStop(name="chat", generation=2, drain_s=0.0))).state == "done"
    assert not odd.containers.find(odd.label)


def test_one_that_is_never_ready_is_given_up(odd):
    probes = {"start_timeout_s": 1.0}
    result = odd.result(begin(odd, "never", probes=probes, restart={"attempts": 1, "backoff_min_s": 0.1}))
    assert result.state == "failed"
    facts = gone(odd, "start_timeout")
    assert len(facts.attempts) == 2


def test_one_that_is_slow_but_moves_is_waited_for_beyond_its_time(odd):
    result = odd.result(begin(odd, "slow=5", probes={"start_timeout_s": 2.0}, memory_bytes=512 << 20))
    assert result.state == "done", result
    assert odd.facts().restarts == 0


def test_one_that_stands_still_beyond_its_time_is_not(odd):
    begin(odd, "still=60", probes={"start_timeout_s": 2.0}, restart={"attempts": 0})
    gone(odd, "start_timeout")


def ask(endpoint, work_s, answers):
    body = json.dumps({"prompt": "x", "work": work_s}).encode()
    request = urllib.request.Request(f"{endpoint}/v1/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            answers.append(answer.status)
    except OSError as error:
        answers.append(error)


def asking(bench, endpoint, work_s, page="/metrics"):
    """A request in the engine, in a thread of its own; returns when its counters show it, if it has any."""
    answers = []
    thread = threading.Thread(target=ask, args=(endpoint, work_s, answers))
    thread.start()
    if page is None:
        return thread, answers

    def seen():
        with urllib.request.urlopen(f"{endpoint}{page}", timeout=5) as answer:
            return b"requests_processing 1" in answer.read()

    wait_until(seen, timeout_s=10, what="the request is in it")
    return thread, answers


def test_a_stop_waits_for_the_requests_in_it(odd):
    facts = serving(odd, "good")
    thread, answers = asking(odd, facts.endpoint, 2.0)
    assert odd.result(odd.send(2, EngineStop(name="chat", generation=2, drain_s=20.0))).state == "done"
    thread.join(30)
    assert answers == [200]


def test_one_without_a_page_of_figures_is_stopped_when_its_last_connection_ends(odd):
    facts = serving(odd, "bare")
    thread, answers = asking(odd, facts.endpoint, 2.0, page=None)
    pid = odd.containers.inspect(facts.container_id).pid
    wait_until(lambda: connections(pid) == 1, timeout_s=10, what="the connection is counted")
    # Its deadline lies far beyond the time that the result is waited for.
    assert odd.result(odd.send(2, EngineStop(name="chat", generation=2, drain_s=600.0))).state == "done"
    thread.join(30)
    assert answers == [200]


def test_a_stop_does_not_wait_longer_than_it_was_told(odd):
    facts = serving(odd, "good")
    thread, answers = asking(odd, facts.endpoint, 600.0)  # far beyond the time that the result is waited for
    assert odd.result(odd.send(2, EngineStop(name="chat", generation=2, drain_s=1.0))).state == "done"
    thread.join(30)
    assert isinstance(answers[0], OSError)
    assert answers != [200]
