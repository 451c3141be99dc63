"""Keys that rotate under kill -9 of either program, and a machine that was copied: real programs, real TLS."""

import random
import shutil
import signal

import pytest

from actors.link.identity import IdentityFiles
from actors.master.server import BOOK_FILE
from actors.master.service import now_ms
from actors.master.sqlite_book import SqliteBook
from protocol.rotation import OVERLAP_MS
from tests.bed.processes import Program, wait_until
from tests.e2e.test_master_and_link import BIN, connected, drain, ended, enrol, post, world  # noqa: F401  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def kill_agent(world):  # noqa: F811
    world.kill_agent()
    world.start_agent()


def kill_master(world):  # noqa: F811
    world.master.signal(signal.SIGKILL)
    world.master.wait()
    world.master.stop()
    world.start_master()


def steps(world, files, before):  # noqa: F811
    """What a rotation does, in order; each holds from then on, so that a look that comes late still sees it."""
    after = lambda: files.key().kid != before  # noqa: E731
    return {
        "asked": lambda: True,
        "on the agent's disk": lambda: files.next_key() is not None or after(),
        "in the master's book": lambda: book_row(world).next_public is not None or after(),
        "swapped": after,
    }


def book_row(world):  # noqa: F811
    book = SqliteBook(world.master_dir / BOOK_FILE)
    try:
        return book.agent(world.agent_id)
    finally:
        book.close()


def test_a062_an_agent_is_never_locked_out_whenever_either_side_is_killed(world):  # noqa: F811
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    enrol(world)
    connected(world)
    files = IdentityFiles(world.folder / "state_dir")
    kids = {files.key().kid}
    label = files.label()
    plan = [(step, kill) for step in steps(world, files, b"") for kill in (kill_agent, kill_master)]
    rng.shuffle(plan)
    for step, kill in plan:
        reached = steps(world, files, files.key().kid)[step]
        command = post(world, "agent.rotate", {})["command_id"]
        wait_until(reached, timeout_s=30, what=step)
        kill(world)
        connected(world)
        assert ended(world, command)["state"] == "done"
        kids.add(files.key().kid)
        assert ended(world, drain(world))["state"] == "done", "its key opens, and it works"
    assert len(kids) == len(plan) + 1, "each rotation made one key and only one"
    assert files.label() == label
    wait_until(lambda: book_row(world).public == files.key().public, timeout_s=30, what="the last key is in use")
    row = book_row(world)
    assert row.publics(now_ms() + OVERLAP_MS) == (files.key().public,), "beyond the overlap one key is left"
    assert len(row.publics(now_ms())) <= 2, "and within it two"


def test_a061_a_machine_that_was_copied_is_told_and_both_are_kept_out(world):  # noqa: F811
    enrol(world, refused_retry_s=1.0)
    connected(world)
    copied = world.folder / "copy"
    copied.mkdir()
    shutil.copytree(world.folder / "state_dir", copied / "state_dir", ignore=shutil.ignore_patterns("*.lock", "*.sock"))
    config = world.config_file.read_text()
    for name in ("state_dir", "run_dir", "log_dir", "models"):
        config = config.replace(str(world.folder / name), str(copied / name))
    (copied / "agent.yaml").write_text(config)
    copy = Program(
        "copy",
        [BIN / "mosalamaagent", "run", "--config", copied / "agent.yaml"],
        log=copied / "agent.log",
        env=world.environment,
        grace_s=30.0,
    )
    try:
        found = wait_until(
            lambda: [agent for agent in world.operator("agents")["agents"] if agent["state"] == "quarantined"],
            timeout_s=60,
            what="the master tells the copy",
        )
        assert [agent["agent_id"] for agent in found] == [world.agent_id]
        events = world.operator("events")["events"]
        assert "master.clone" in {event["kind"] for event in events if event["severity"] == "critical"}
        wait_until(
            lambda: not any(agent["connected"] for agent in world.operator("agents")["agents"]),
            timeout_s=30,
            what="neither is let in",
        )
        assert world.agent_command("status")["link"]["state"] != "connected"
    finally:
        copy.stop()
    world.operator("agent", "approve", world.agent_id)
    connected(world)
    assert ended(world, drain(world))["state"] == "done"
