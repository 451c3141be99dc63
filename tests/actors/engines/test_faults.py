"""Faults around engines: the daemon, Docker, the registry, images, ports, the disk and the clock. All real.

The rule for each: nothing wrong is started, nothing healthy is stopped, and every give-up is an event.
"""

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request

import pytest

from protocol.messages.commands import EngineStart, EngineStop
from tests.actors.engines.bench import Bench
from tests.actors.engines.own_dockerd import OwnDockerd
from tests.bed import docker_engine as bed_docker
from tests.bed import odd_engine
from tests.bed.processes import wait_until
from tests.fakes.registry_front import RegistryFront

pytestmark = pytest.mark.timeout(150)
HUNG_S = float(os.environ.get("DOCKER_HUNG_S", "60"))
"""How long Docker hangs; its calls have 2 s here."""


def small(bench, **fields):
    given = {"memory_bytes": 128 << 20, "cpus": 0.25}
    given |= {"probes": {"start_timeout_s": 20.0, "interval_s": 0.3, "timeout_s": 1.0, "failures": 3}}
    return bench.spec(**(given | fields))


def start(bench, number=1, name="chat", **fields):
    return bench.send(number, EngineStart(name=name, generation=number, spec=small(bench, **fields)))


def healthy(facts):
    with urllib.request.urlopen(f"{facts.endpoint}/health", timeout=5) as answer:
        return answer.status == 200


# -- the daemon ------------------------------------------------------------------------------------------------

STEPS = ("before_image_env", "before_create", "after_create", "before_start", "after_start", "after_inspect")
STEPS_AFTER_A_DEATH = ("before_wait_detached", "after_wait_detached")


@pytest.mark.parametrize("step", [*STEPS, *STEPS_AFTER_A_DEATH])
def test_a_daemon_killed_at_any_step_of_a_start_leaves_one_engine_to_the_next(
    step, tmp_path, docker_engine, odd_image, models, label
):
    told = {"folder": str(tmp_path), "model": models.model.directory, "host": docker_engine.host}
    told |= {"image": odd_image, "label": label, "step": step}
    words = [sys.executable, "-m", "tests.actors.engines.dying_daemon", json.dumps(told)]
    assert subprocess.run(words, check=False, timeout=60, capture_output=True).returncode == -9
    again = Bench(tmp_path, docker_engine.host, odd_image, models, label)
    try:
        assert again.result(f"{1:032x}").state == "done"
        facts = again.wait(lambda facts: facts.state == "ready", "ready")
        assert [one.container_id for one in again.containers.find(label)] == [facts.container_id]
        assert healthy(facts)
    finally:
        again.close()


# -- Docker ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerd(docker_engine):
    made = OwnDockerd()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def own(tmp_path, dockerd, models, label):
    image = odd_engine.ensure_image(dockerd.host)
    made = Bench(tmp_path, dockerd.host, image, models, label, settings={"docker_timeout_s": 2.0})
    yield made
    made.close()


def test_a_docker_that_hangs_is_a_state_and_nothing_is_touched(own, dockerd):
    for number in (1, 2):
        assert own.result(start(own, number, f"chat{number}")).state == "done"
    before = {name: own.facts(name).container_id for name in ("chat1", "chat2")}
    dockerd.freeze()
    begun = time.monotonic()
    try:
        wait_until(lambda: "docker.down" in own.events(), timeout_s=30, what="Docker is known to hang")
        late = start(own, 3, "chat3")
        while time.monotonic() - begun < HUNG_S:
            assert all(healthy(own.facts(name)) and own.facts(name).state == "ready" for name in before)
            time.sleep(0.3)
    finally:
        dockerd.thaw()
    wait_until(lambda: "docker.up" in own.events(), timeout_s=30, what="Docker is known to be back")
    assert own.result(late).state == "done"
    assert {name: own.facts(name).container_id for name in before} == before
    assert all(own.facts(name).restarts == 0 for name in (*before, "chat3"))
    assert not {"engine.died", "engine.gave_up"} & set(own.events())
    own.containers.signal(before["chat1"], "SIGKILL")  # its eyes are open again
    wait_until(lambda: own.facts("chat1").restarts == 1, timeout_s=20, what="a death is seen")


def test_a_docker_that_is_killed_and_comes_back_finds_its_engines_untouched(own, dockerd):
    assert own.result(start(own)).state == "done"
    first = own.facts()
    dockerd.kill()
    wait_until(lambda: "docker.down" in own.events(), timeout_s=30, what="Docker is known to be away")
    wait_until(lambda: "Docker does not answer" in own.facts().why, timeout_s=30, what="the engine's doubt is said")
    dockerd.start()
    wait_until(lambda: "docker.up" in own.events(), timeout_s=60, what="Docker is known to be back")
    wait_until(lambda: healthy(own.facts()), timeout_s=20, what="it serves")
    assert (own.facts().container_id, own.facts().restarts) == (first.container_id, 0)
    assert not {"engine.died", "engine.gave_up"} & set(own.events())


def layer(size):
    """An image's only layer: so many bytes that do not compress."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        member = tarfile.TarInfo("data")
        member.size = size
        tar.addfile(member, io.BytesIO(os.urandom(size)))
    return held.getvalue()


@pytest.fixture
def pushed(docker_engine, registry):
    """An image of a few megabytes that only the registry has: its digest."""
    name = "mosalama-bed/random:now"
    with docker_engine.client() as client:
        client.api.import_image_from_data(layer(9 << 20), repository="mosalama-bed/random", tag="now")
        reference = registry.push(docker_engine.host, name, "random")
        for tag in (name, f"{registry.address}/random:bed"):
            client.api.remove_image(tag)
    return reference.partition("@")[2]


@pytest.fixture
def front(registry):
    made = RegistryFront(registry.port)
    yield made
    made.close()


def test_a_full_disk_during_a_pull_is_said_and_engines_serve_on(own, dockerd, registry, pushed):
    assert own.result(start(own)).state == "done"
    first = own.facts()
    free = os.statvfs(dockerd.data)
    filler = dockerd.data / "filler"
    filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - (6 << 20)))
    reference = f"{registry.address}/random@{pushed}"
    own.allow(reference)
    try:
        result = own.result(start(own, 2, "big", image=reference, restart={"attempts": 0}))
    finally:
        filler.unlink()
    assert result.state == "failed"
    assert "no space left for it: at least 9 MiB are to come" in result.error.why
    assert "room for" in result.error.why
    assert own.facts("big").cause == "disk_full"
    assert "engine.gave_up" in own.events()
    assert (own.facts().container_id, healthy(own.facts())) == (first.container_id, True)


# -- the registry ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("401", "unauthorized"),
        ("429", "toomanyrequests"),
        ("500", "registry_failed"),
        ("stall", "no byte came for"),
        ("lie", "digest"),
    ],
)
def test_a_registry_that_fails_starts_nothing_and_is_given_up_with_its_words(
    mode, words, tmp_path, docker_engine, odd_image, models, label, front, pushed
):
    front.mode = mode
    reference = f"{front.address}/random@{pushed}"
    settings = {"pull_inactivity_s": 5.0}
    bench = Bench(tmp_path, docker_engine.host, odd_image, models, label, settings=settings, images=(reference,))
    try:
        result = bench.result(start(bench, image=reference, restart={"attempts": 0}))
        assert result.state == "failed"
        assert words in result.error.why.lower()
        assert bench.facts().state == "gave_up"
        assert "engine.gave_up" in bench.events()
        assert not bench.containers.find(label)
    finally:
        front.closing.set()
        bench.close()


# -- images, ports, containers, the clock ------------------------------------------------------------------------


def test_an_image_that_was_deleted_stops_no_engine_and_is_told_when_it_is_needed(odd, docker_engine, odd_image):
    own_tag = f"mosalama-bed/mine:{odd.label[-8:]}"
    with docker_engine.client() as client:
        client.api.tag(odd_image, *own_tag.split(":"))
    odd.allow(own_tag)
    assert odd.result(start(odd, image=own_tag, restart={"attempts": 1, "backoff_min_s": 0.1})).state == "done"
    first = odd.facts()
    with docker_engine.client() as client:
        client.api.remove_image(own_tag)
    assert healthy(first)
    odd.containers.signal(first.container_id, "SIGKILL")
    facts = odd.wait(lambda facts: facts.state == "gave_up", "given up")
    assert "cannot be had" in facts.why
    assert facts.next_try_at > time.time()


def test_a_taken_port_is_passed_over_and_a_wanted_one_is_refused_by_name(odd):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", odd.settings.port_min))
        taken.listen()
        result = odd.result(start(odd, port=odd.settings.port_min))
        assert (result.state, "is taken" in result.error.why) == ("failed", True)
        assert odd.result(start(odd, 2, "other")).state == "done"
        assert not odd.facts("other").endpoint.endswith(str(odd.settings.port_min))


def test_a_clock_that_is_set_stops_nothing_and_a_death_is_seen_all_the_same(odd):
    assert odd.result(start(odd)).state == "done"
    for offset_s in (-86_400.0, 86_400.0, 0.0):
        odd.clock_offset_s = offset_s
        before = odd.facts()
        odd.containers.signal(before.container_id, "SIGKILL")
        after = odd.wait(
            lambda facts, before=before: facts.state == "ready" and facts.container_id != before.container_id, "back"
        )
        assert healthy(after)
    assert "engine.gave_up" not in odd.events()


def test_a_container_of_this_agent_that_was_stopped_is_reaped_and_an_unknown_one_is_left(
    tmp_path, docker_engine, odd_image, models, label
):
    with bed_docker.client(docker_engine.host) as client:
        marks = {"mosalama.agent": label, "mosalama.generation": "1"}
        made = [
            client.containers.run(odd_image, detach=True, init=True, labels=marks | {"mosalama.engine": name})
            for name in ("stopped", "unknown")
        ]
        foreign = client.containers.run(odd_image, detach=True, init=True)
        bench = Bench(tmp_path, docker_engine.host, odd_image, models, label, settings={"orphan_grace_s": 1.0})
        try:
            assert bench.result(bench.send(1, EngineStop(name="stopped", generation=1))).state == "done"
            wait_until(
                lambda: [one.engine for one in bench.containers.find(label)] == ["unknown"], timeout_s=20, what="reaped"
            )
            assert bench.events().count("engine.orphan") == 2
            foreign.reload()
            assert foreign.status == "running"
        finally:
            bench.close()
            foreign.remove(force=True)
        assert len(made) == 2


def test_forty_engines_at_once(tmp_path, docker_engine, odd_image, models, label):
    settings = {"engines_max": 64, "canary_s": 0.0}
    bench = Bench(tmp_path, docker_engine.host, odd_image, models, label, settings=settings)
    names = [f"chat{number:02d}" for number in range(40)]
    try:
        probes = {"interval_s": 5.0, "start_timeout_s": 100.0}
        sent = [
            bench.send(
                number,
                EngineStart(name=name, generation=1, spec=small(bench, probes=probes, memory_bytes=32 << 20)),
            )
            for number, name in enumerate(names, 1)
        ]
        assert {bench.result(one, 100.0).state for one in sent} == {"done"}
        facts = [bench.facts(name) for name in names]
        assert {one.state for one in facts} == {"ready"}
        assert len({one.endpoint for one in facts}) == 40
        with docker_engine.client() as client:
            for one in facts:
                host = client.api.inspect_container(one.container_id)["HostConfig"]
                assert (host["CapDrop"], host["ReadonlyRootfs"], host["Memory"]) == (["ALL"], True, 32 << 20)
                assert (host["SecurityOpt"], host["Init"], host["PidsLimit"]) == (["no-new-privileges"], True, 4_096)
    finally:
        bench.close()
