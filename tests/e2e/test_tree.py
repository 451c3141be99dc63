"""The daemon's own tree in this process: a fault in one actor restarts it by policy and disturbs no other."""

import time

import pytest

from actors.api.control_socket import SOCKET_NAME
from actors.cli.client import NoDaemonError, fetch
from actors.journal.messages import Execute
from actors.paths import PATHS
from actors.supervision.messages import TaskDone
from actors.supervision.system import System
from actors.tree import build
from config.settings import Settings
from tests.bed.places import short_folder
from tests.bed.processes import wait_until

CRASHES = {
    PATHS.metrics: TaskDone(0, "collect", None),
    PATHS.api: TaskDone(0, "server", None),
    PATHS.engines: Execute("0" * 32, None, b""),
    PATHS.downloads: Execute("0" * 32, None, b""),
}
"""A message that each actor cannot survive: its own task ending, or a command that is none."""


def ask(run_dir, path):
    """The answer, or None while the socket does not listen yet."""
    try:
        return fetch(run_dir, path)
    except NoDaemonError:
        return None


def flat(node):
    return {node.path: node, **{path: inner for child in node.children for path, inner in flat(child).items()}}


@pytest.fixture
def daemon(tmp_path):
    import shutil

    run_dir = short_folder()
    settings = Settings.model_validate(
        {
            "paths": {"state_dir": tmp_path / "state", "run_dir": run_dir, "log_dir": tmp_path / "log"},
            "downloads": {"models_dir": tmp_path / "models"},
            "engines": {"docker_host": "unix:///nowhere/docker.sock"},
            "api": {"port": 0},
        }
    )
    settings.paths.state_dir.mkdir()
    held = []
    system = System(build(settings, lambda: held[0], time.time), settings=settings.supervision)
    held.append(system)
    system.start()
    yield system, run_dir
    system.stop()
    assert system.handle(PATHS.journal).path == PATHS.journal
    shutil.rmtree(run_dir)


def test_every_actor_of_the_tree_runs_without_master_and_docker(daemon):
    system, run_dir = daemon
    nodes = flat(system.tree())
    assert {PATHS.journal, PATHS.engines, PATHS.downloads, PATHS.metrics, PATHS.link, PATHS.api} <= set(nodes)
    assert {node.state for node in nodes.values()} == {"running"}
    wait_until((run_dir / SOCKET_NAME).exists, timeout_s=10, what="the control socket")
    answer = wait_until(lambda: ask(run_dir, "/v1/tree"), timeout_s=10, what="the tree over the socket")
    assert answer["path"] == "/root"
    assert answer["children"][0]["path"] == PATHS.journal


@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.rsplit("/", 2)[-1])
def test_a_fault_in_one_actor_restarts_it_and_disturbs_no_other(daemon, path):
    system, _ = daemon
    before = flat(system.tree())
    system.handle(path).tell(CRASHES[path])
    wait_until(
        lambda: (node := flat(system.tree()).get(path)) and node.incarnation == 2 and node.state == "running",
        timeout_s=15,
        what="the second incarnation runs",
    )
    after = flat(system.tree())
    changed = {name for name in after if name in before and after[name].incarnation != before[name].incarnation}
    assert changed == {path}
    assert "crash" in after[path].last_reason
    assert system.healthy()


def test_docker_being_away_is_an_event_and_not_a_crash(daemon):
    system, run_dir = daemon
    wait_until((run_dir / SOCKET_NAME).exists, timeout_s=10, what="the control socket")
    events = wait_until(
        lambda: [
            event
            for event in (ask(run_dir, "/v1/events") or {"events": []})["events"]
            if event["kind"] == "docker.down"
        ],
        timeout_s=15,
        what="the event",
    )
    assert "not touched" in events[0]["text"]
    assert flat(system.tree())[PATHS.engines].incarnation == 1
