"""Every line of an action carries the id of its command, whichever thread says it."""

import threading

import pytest
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from actors.downloads import verify as verifying
from actors.downloads.bodies.threads import started
from actors.journal import messages as journal
from protocol.messages.commands import ModelCancel, ModelPull, ModelVerify
from protocol.messages.model_source import ModelSource
from tests.actors.downloads.faults.conftest import Bench as Files
from tests.actors.downloads.faults.test_unsized import SHA
from tests.actors.downloads.test_steering import Far, ended, pull_of, say
from tests.actors.downloads.test_transfers import Bench, settings
from tests.fakes.unsized_origin import UnsizedOrigin


@pytest.fixture
def bench(tmp_path):
    made = Bench(settings(Far, tmp_path))
    yield made
    made.close()


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "origin")
    yield made
    made.close()


def lines():
    return capture_logs(processors=[merge_contextvars])


def test_a_thread_of_a_transfer_goes_on_with_its_makers_command():
    with lines() as said:
        with bound_contextvars(command_id="00ff"):
            thread = started(lambda: structlog.get_logger().info("from a thread"), "bytes-0")
        thread.join()
    assert [(line["event"], line["command_id"]) for line in said] == [("from a thread", "00ff")]


def test_the_lines_of_a_transfer_have_its_command_and_those_of_a_second_one_lead_to_it(bench, files):
    origin = files.origin(rate=200_000)
    with lines() as said:
        say(bench, 101, pull_of(origin, files))
        assert origin.moved.wait(20)
        say(bench, 102, pull_of(origin, files))
        say(bench, 103, ModelCancel(model=pull_of(origin, files).source.model))
        assert ended(bench, 101).state == ended(bench, 102).state == "cancelled"
    first, second = f"{101:032x}", f"{102:032x}"
    of_transfer = [
        line for line in said if line["event"].startswith("transfer.") and line["event"] != "transfer.joined"
    ]
    assert {line["event"] for line in of_transfer} >= {"transfer.began", "transfer.progress", "transfer.ended"}
    assert {line["command_id"] for line in of_transfer} == {first}
    (joined,) = [line for line in said if line["event"] == "transfer.joined"]
    assert (joined["command_id"], joined["began_by"]) == (second, first)
    assert joined["transfer"] == of_transfer[0]["transfer"]


def test_the_thread_that_reads_a_body_says_its_command(bench):
    origin = UnsizedOrigin(b"wrong", "chunked")
    try:
        with lines() as said:
            pull = ModelPull(source=ModelSource(uri=origin.url, kind="https", sha256=SHA))
            say(bench, 104, pull)
            assert ended(bench, 104).state == "failed"
        failed = [line for line in said if line["event"] == "body.failed"]
        assert len(failed) == 2
        assert {line["command_id"] for line in failed} == {f"{104:032x}"}
    finally:
        origin.close()


def test_a_verification_that_waited_for_its_turn_has_its_own_command(bench, files, monkeypatch):
    pull = pull_of(files.origin(), files)
    say(bench, 101, pull)
    assert ended(bench, 101).state == "done"
    go, plain = threading.Event(), verifying.digests
    monkeypatch.setattr(verifying, "digests", lambda *args, **fields: go.wait(20) and plain(*args, **fields))
    with lines() as said:
        for number in (105, 106):
            say(bench, number, ModelVerify(model=pull.source.model))
        bench.journal.wait(journal.Running, lambda one: one.command_id == f"{106:032x}", timeout_s=20)
        go.set()
        assert [ended(bench, number).state for number in (105, 106)] == ["done", "done"]
    verified = [line["command_id"] for line in said if line["event"] == "model.verified"]
    assert verified == [f"{number:032x}" for number in (105, 106)]
