"""Promises of the room as a whole, over a real tree: what runs at once, crashes, the schedule, the cap, the way."""

import json
import os
import threading
from pathlib import Path

import pytest

from actors.downloads import hub_answers, local
from actors.downloads.bodies import asking
from actors.downloads.bodies.asking import Asker
from actors.downloads.bodies.engine import TransferEngine
from actors.downloads.errors import SourceError
from actors.downloads.manager import words
from actors.downloads.transfer.actor import TransferActor
from actors.facts import TransferFacts
from actors.journal import messages as journal
from protocol.messages.commands import ModelCancel, ModelPull
from protocol.messages.model_source import ModelSource, SourceFile
from tests.actors.downloads.faults.conftest import BODY
from tests.actors.downloads.faults.conftest import Bench as Files
from tests.actors.downloads.shelf import Shelf, manifest
from tests.actors.downloads.test_steering import Far, ended, pull_of, say
from tests.actors.downloads.test_transfers import Bench, settings


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "origin")
    yield made
    made.close()


class Watched:
    """A bring that counts who is at work, and may be told to crash."""

    def __init__(self, configured, *, crash_once="", crash_always=""):
        self.engine, self.crash, self.hopeless = TransferEngine(configured), crash_once, crash_always
        self.lock, self.running, self.most = threading.Lock(), 0, 0
        self.calls = []
        self.crashed = threading.Event()

    def __call__(self, staging, files, control, progress):
        model = staging.manifest.model
        with self.lock:
            self.calls.append(model)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if model == self.hopeless or (model == self.crash and not self.crashed.is_set()):
                self.crashed.set()
                raise RuntimeError("a fault of ours")
            return self.engine(staging, files, control, progress)
        finally:
            with self.lock:
                self.running -= 1


def made(tmp_path, monkeypatch, **fields):
    crashes = {name: fields.pop(name) for name in ("crash_once", "crash_always") if name in fields}
    configured = settings(Far, tmp_path, **fields)
    watched = Watched(configured, **crashes)
    monkeypatch.setattr("tests.actors.downloads.test_transfers.TransferEngine", lambda _configured: watched)
    return Bench(configured), watched


def test_no_more_transfers_run_at_once_than_are_allowed(tmp_path, files, monkeypatch):
    bench, watched = made(tmp_path, monkeypatch, transfers_max=2)
    try:
        origin = files.origin(rate=2 << 20)
        for number, name in enumerate(("a", "b", "c", "d"), 101):
            say(bench, number, pull_of(origin, files, name))
        assert {ended(bench, number).state for number in range(101, 105)} == {"done"}
        assert watched.most == 2
    finally:
        bench.close()


def test_a_crash_of_one_transfer_resumes_it_and_touches_no_other(tmp_path, files, monkeypatch):
    slow, quick = files.origin(rate=4 << 20), files.origin()
    crashes = pull_of(quick, files, "crashes")
    other = pull_of(slow, files, "other")
    bench, watched = made(tmp_path, monkeypatch, crash_once=crashes.source.model)
    try:
        say(bench, 101, other)
        assert slow.moved.wait(20)
        say(bench, 102, crashes)
        assert [ended(bench, number).state for number in (101, 102)] == ["done", "done"]
        assert watched.crashed.is_set()
        assert watched.calls.count(crashes.source.model) == 2
        assert watched.calls.count(other.source.model) == 1
        assert slow.sent <= 1.02 * len(BODY)
    finally:
        bench.close()


def test_a_transfer_that_crashes_again_and_again_is_given_up_and_a_later_pull_begins_anew(tmp_path, files, monkeypatch):
    pull, other = pull_of(files.origin(), files, "hopeless"), pull_of(files.origin(), files, "other")
    bench, watched = made(tmp_path, monkeypatch, crash_always=pull.source.model)
    try:
        say(bench, 101, pull)
        outcome = ended(bench, 101)
        assert (outcome.state, outcome.error.code, bool(outcome.error.do)) == ("failed", "E_INTERNAL", True)
        assert watched.calls.count(pull.source.model) > 1
        say(bench, 102, other)
        assert ended(bench, 102).state == "done"
        watched.hopeless = ""
        say(bench, 103, pull)
        assert ended(bench, 103).state == "done"
    finally:
        bench.close()


def test_the_schedule_finds_what_went_bad_and_nobody_asked(tmp_path, files):
    bench = Bench(settings(Far, tmp_path, verify_every_s=0.5, collect_every_s=1.0))
    try:
        say(bench, 101, pull_of(files.origin(), files))
        target = Path(ended(bench, 101).data["path"]) / "model.bin"
        with target.open("r+b") as file:
            file.write(b"rot")
        event = bench.journal.wait(journal.Emit, lambda one: one.kind == "model.damaged", timeout_s=30)
        assert (event.severity, "model.bin" in event.text) == ("error", True)
        assert not [one for one in bench.journal.of(journal.Outcome) if one.command_id != f"{101:032x}"]
        assert bench.store.models()[0].damaged == ("model.bin",)
    finally:
        bench.close()


def test_the_bandwidth_cap_is_one_for_transfers_that_run_together(tmp_path, files):
    rate = 2_000_000
    engine = TransferEngine(files.settings(rate_max_bytes_s=rate))
    brought = []

    def bring(name):
        bench = Files(tmp_path / name)
        file = files.file(files.origin().url)
        brought.append(engine(bench.staging(file), (file,), bench.control, bench.told.append))

    threads = [threading.Thread(target=bring, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(one.seconds for one in brought) >= 2 * len(BODY) / rate - 0.5


def test_partials_over_their_budget_go_the_oldest_first_and_a_running_one_never(tmp_path):
    shelf = Shelf(tmp_path / "models", partial_budget_bytes=150_000)
    try:
        for number in (1, 2, 3):
            wanted = manifest(number, {"f": b"x" * 90_000})
            staging = shelf.store.begin(wanted)
            (staging.work / "partial").write_bytes(os.urandom(90_000))
            if number != 1:
                shelf.store.end(wanted)
            shelf.clock.now += 60
        plan = shelf.store.gc()
        gone = [(one.key.rpartition("/")[2], one.why) for one in plan.doomed]
        assert gone == [(manifest(2, {}).commit, "partials are over their budget")]
    finally:
        shelf.close()


def test_what_a_transfer_left_empty_is_not_kept(tmp_path):
    shelf = Shelf(tmp_path / "models")
    try:
        wanted = manifest(1, {"f": b"x"})
        shelf.store.begin(wanted)
        shelf.store.end(wanted)
        assert not any((shelf.folder / ".staging").rglob("*"))
    finally:
        shelf.close()


def test_the_master_hears_how_fast_it_is_and_how_long_it_takes(tmp_path, files):
    assert words.pace(TransferFacts("t", "m", "r", "transferring", 1, 9, 2.0, 4.0)) == "2 bytes/s, 4 s left"
    assert words.pace(TransferFacts("t", "m", "r", "transferring", 1, 0, 2.0)) == "2 bytes/s"
    assert words.pace(TransferFacts("t", "m", "r", "waiting", 1, 0, why="the hours")) == "the hours"
    bench = Bench(settings(Far, tmp_path))
    try:
        say(bench, 101, pull_of(files.origin(rate=1 << 20), files))
        bench.journal.wait(journal.Progress, lambda one: "s left" in one.detail, timeout_s=30)
        assert ended(bench, 101).state == "done"
    finally:
        bench.close()


# -- the way of a body: names, redirects -----------------------------------------------------------------------


def test_a_body_goes_to_the_address_that_was_checked_whatever_its_name_means_later(files):
    """DNS rebinding: the name means this machine's own network at the second question."""
    origin, answers = files.origin(), []
    port = int(origin.url.rpartition(":")[2].partition("/")[0])

    def checked(_url, _unwanted):
        answers.append("asked")
        return [("127.0.0.1", port)] if len(answers) == 1 else [("10.255.255.1", port)]

    asker = Asker(checked=checked, tls=lambda: None, origin="", credentials={}, silence_s=5.0)
    try:
        answer, _ = asker.get(f"http://models.test:{port}/file", 0, 9)
        assert (answer.status, answers) == (206, ["asked"])
        assert origin.headers[0]["Host"] == f"models.test:{port}"
    finally:
        asker.close()


@pytest.mark.parametrize("location", ["http://models.test/x", "file:///etc/passwd", "https://u:p@models.test/x"])
def test_a_redirect_of_a_body_may_not_leave_tls_or_the_web(monkeypatch, location):
    asker = Asker(checked=lambda _url, _unwanted: (), tls=lambda: None, origin="", credentials={}, silence_s=5.0)
    asked = []

    def once(_self, url, _first, _last):
        asked.append(url)
        return asking.Answer(302, {"location": location})

    monkeypatch.setattr(Asker, "_once", once)
    with pytest.raises(SourceError) as caught:
        asker.get("https://models.test/a", 0, None)
    assert caught.value.code == "E_POLICY.url"
    assert asked == ["https://models.test/a"]


@pytest.mark.parametrize("names", [("Model.bin", "model.bin"), ("a/b", "A/c"), ("a", "a/b")])
def test_names_that_some_file_system_takes_for_one_are_refused_before_a_byte(tmp_path, files, names):
    origin = files.origin()
    one = files.file(origin.url)
    listed = tuple(SourceFile(name=name, size_bytes=one.size_bytes, sha256=one.digest, urls=one.urls) for name in names)
    bench = Bench(settings(Far, tmp_path))
    try:
        outcome = bench.run(ModelPull(source=ModelSource(kind="manifest", uri="acme/tuned", files=listed)))
        assert (outcome.error.code, bool(outcome.error.do)) == ("E_POLICY.path", True)
        assert not origin.requests
        assert not (tmp_path / "models" / "manifest").exists()
    finally:
        bench.close()


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_a_pull_is_cancelled_while_its_source_is_still_found_out(tmp_path, web, monkeypatch, where):
    """A folder of half a terabyte is read for many minutes before it is known what it consists of."""
    heard, plain = threading.Event(), TransferActor._end_soon
    monkeypatch.setattr(TransferActor, "_end_soon", lambda actor: (plain(actor), heard.set()))

    def cancel_then(deed):
        def done(*args, **fields):
            say(bench, 102, ModelCancel(model=source.model))
            assert heard.wait(20)
            return deed(*args, **fields)

        return done

    if where == "folder":
        folder = tmp_path / "tuned"
        folder.mkdir()
        (folder / "weights").write_bytes(BODY)
        source = ModelSource(kind="path", uri=str(folder))
        monkeypatch.setattr(local, "digests", cancel_then(local.digests))
    else:
        web.hub([])
        more = {"Link": f'<{web.url}/page2>; rel="next"'}
        listed = json.dumps([{"type": "file", "path": "f", "size": 5, "oid": "b" * 40}]).encode()
        web.known[f"/api/models/org/repo/tree/{'a' * 40}"] = (200, more, listed)
        source = ModelSource(uri="hf://org/repo")
        monkeypatch.setattr(hub_answers, "commit", cancel_then(hub_answers.commit))
    bench = Bench(settings(web, tmp_path))
    try:
        say(bench, 101, ModelPull(source=source))
        outcome = ended(bench, 101)
        assert (outcome.state, outcome.error.code) == ("cancelled", "E_CANCELLED")
        assert not any((tmp_path / "models" / ".staging").rglob("*")), "it had not begun to be built"
        assert "/page2" not in [path for _, path, _ in web.asked]
    finally:
        bench.close()
