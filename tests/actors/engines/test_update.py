"""From one generation to the next: beside the old one, in its place, or not at all. Real Docker."""

import json
import threading
import urllib.request

import pytest

from actors.facts import EnginesChanged
from protocol.messages.commands import EngineStart, EngineStop, EngineUpdate
from tests.actors.engines.bench import FIRST_PORT, Bench
from tests.bed.processes import wait_until

pytestmark = pytest.mark.timeout(120)
PROBES = {"start_timeout_s": 3.0, "interval_s": 0.2, "timeout_s": 1.0, "failures": 3}


def spec(bench, manner, **fields):
    given = {"env": {"LLAMA_ARG_ODD": manner}, "memory_bytes": 256 << 20, "cpus": 0.5, "probes": PROBES}
    return bench.spec(**(given | fields))


def started(bench, manner="good", **fields):
    command = EngineStart(name="chat", generation=1, spec=spec(bench, manner, **fields))
    result = bench.result(bench.send(1, command))
    assert result.state == "done", result
    return bench.wait(lambda facts: facts.state == "ready", "ready")


def update(bench, generation, manner, **fields):
    command = EngineUpdate(name="chat", generation=generation, spec=spec(bench, manner, **fields))
    return bench.send(generation, command)


def only(bench, container_id):
    wait_until(
        lambda: [one.container_id for one in bench.containers.find(bench.label)] == [container_id],
        timeout_s=30,
        what="one container is left",
    )


class Client:
    """Asks as often as it can at the endpoint that is announced, until it is stopped."""

    def __init__(self, bench):
        self._bench, self._stop = bench, threading.Event()
        self.failed, self.answered = [], 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            endpoint = self._bench.facts().endpoint
            body = json.dumps({"prompt": "x", "work": 0.1}).encode()
            request = urllib.request.Request(f"{endpoint}/v1/completions", body)
            try:
                with urllib.request.urlopen(request, timeout=20):
                    self.answered += 1
            except OSError as error:
                self.failed.append(f"{endpoint}: {error}")

    def stop(self):
        self._stop.set()
        self._thread.join(30)


def test_a_new_generation_is_proven_beside_the_old_one_and_no_request_fails(odd):
    first = started(odd)
    client = Client(odd)
    try:
        result = odd.result(update(odd, 2, "good,slow=1"))
        assert result.state == "done", result
        second = odd.facts()
        assert second.container_id != first.container_id
        assert (second.generation, second.state) == (2, "ready")
        only(odd, second.container_id)
    finally:
        client.stop()
    assert client.answered > 10
    assert not client.failed
    assert "engine.updated" in odd.events()
    states = {engine.state for change in odd.observer.of(EnginesChanged) for engine in change.engines}
    assert "draining" not in states


@pytest.mark.parametrize(
    ("manner", "why"), [("exit=0.1,still=60", "exit 3"), ("hang=0", "no token"), ("never", "nothing moves")]
)
def test_a_generation_that_does_not_run_is_taken_away_and_remembered(odd, manner, why):
    first = started(odd)
    result = odd.result(update(odd, 2, manner))
    assert result.state == "failed"
    assert why in result.error.why
    only(odd, first.container_id)
    assert (odd.facts().state, odd.facts().endpoint) == ("ready", first.endpoint)
    assert "engine.rolled_back" in odd.events()
    again = odd.result(update(odd, 3, manner))
    assert again.state == "failed"
    assert "this very version did not run here before" in again.error.why
    only(odd, first.container_id)
    good = odd.result(update(odd, 4, "good,slow=0.1"))
    assert good.state == "done", good


def test_where_both_want_one_port_the_new_one_takes_the_place_and_that_is_announced(odd):
    first = started(odd, port=FIRST_PORT + 50)
    result = odd.result(update(odd, 2, "good,slow=0.1", port=FIRST_PORT + 50))
    assert result.state == "done", result
    second = odd.wait(lambda facts: facts.state == "ready" and facts.generation == 2, "the new one")
    assert second.endpoint == first.endpoint
    said = next(event for event in odd.event_list() if event.kind == "engine.updating")
    assert f"both want port {FIRST_PORT + 50}" in said.text
    assert said.fields["down_s"] > 0


def test_a_daemon_that_ends_in_the_middle_of_an_update_goes_on_with_it(odd, tmp_path, docker_engine, odd_image, models):
    first = started(odd)
    update(odd, 2, "good,slow=2")
    wait_until(lambda: len(odd.containers.find(odd.label)) == 2, timeout_s=30, what="both are here")
    odd.close(remove=False)
    again = Bench(tmp_path, docker_engine.host, odd_image, models, odd.label)
    try:
        second = again.wait(lambda facts: facts.state == "ready" and facts.generation == 2, "the new one")
        assert second.container_id != first.container_id
        only(again, second.container_id)
        assert again.result(f"{2:032x}").state == "done"
        assert "engine.died" not in again.events()
    finally:
        again.close()


def test_a_stop_and_a_newer_one_end_an_update_that_is_under_way(odd):
    started(odd)
    second = update(odd, 2, "good,never")
    wait_until(lambda: len(odd.containers.find(odd.label)) == 2, timeout_s=30, what="both are here")
    third = update(odd, 3, "good,slow=30")
    assert odd.result(second).state == "cancelled"
    wait_until(
        lambda: {one.generation for one in odd.containers.find(odd.label)} == {1, 3}, timeout_s=30, what="the third"
    )
    assert odd.result(odd.send(4, EngineStop(name="chat", generation=4, drain_s=0.0))).state == "done"
    assert odd.result(third).state == "cancelled"
    assert not odd.containers.find(odd.label)


def test_the_old_one_that_dies_meanwhile_is_started_again(odd):
    first = started(odd)
    update(odd, 2, "slow=60")
    wait_until(lambda: len(odd.containers.find(odd.label)) == 2, timeout_s=30, what="both are here")
    odd.containers.signal(first.container_id, "SIGKILL")
    back = odd.wait(lambda facts: facts.state == "ready" and facts.restarts == 1, "back")
    assert back.generation == 1
