"""The store by itself: versions, sharing, leases, quota, what stays over a kill."""

import os
import threading

import pytest

from actors.downloads import verify as verifying
from actors.downloads.bodies.api import Cancelled
from actors.downloads.errors import SpaceError, StoreError
from actors.downloads.records import load_files
from actors.downloads.verify import Pace, next_due, verify
from tests.actors.downloads.shelf import HOUR_S, Shelf, commit, manifest, place

A, B, C = b"a" * 70_000, b"b" * 90_000, b"c" * 50_000


class Flag(threading.Event):
    def now(self):
        return 0.0


def check(shelf, version):
    damaged = verify(version, Pace(Flag(), None, lambda _done: None))
    shelf.store.verified(version, damaged)
    return damaged


def test_a_version_has_its_files_and_nothing_else_and_our_own_sha256_of_each(shelf):
    shelf.bring(1, {"config.json": A, "sub/weights": B}, proofs={"config.json": "git-sha1"})
    assert shelf.path == shelf.folder / "hub" / "org" / "repo" / commit(1)
    assert sorted(str(path.relative_to(shelf.path)) for path in shelf.path.rglob("*")) == [
        "config.json",
        "sub",
        "sub/weights",
    ]
    kept = {one.name: one for one in load_files(shelf.path.parent, commit(1))}
    assert (kept["config.json"].proof, len(kept["config.json"].sha256)) == ("git-sha1", 64)
    assert not list(shelf.folder.rglob(".cache"))
    assert not any((shelf.folder / ".staging").rglob("*"))
    assert shelf.path.stat().st_mode & 0o777 == 0o755


def test_identical_files_are_shared_by_hard_link_and_not_brought_again(shelf):
    assert shelf.bring(1, {"config": A, "weights": B}) == ["config", "weights"]
    first = shelf.path
    assert shelf.bring(2, {"config": C, "weights": B}) == ["config"]
    assert (first / "weights").samefile(shelf.path / "weights")
    assert shelf.bring(3, {"other-name": B}, model="org/finetune") == []
    space = shelf.store.space()
    assert space.used_bytes < 70_000 + 90_000 + 50_000 + 20_000, "a shared file counts once"
    shelf.store.remove("org/repo", commit(1), force=False)
    shelf.store.sweep()
    assert (shelf.path / "other-name").read_bytes() == B


def test_rot_is_not_inherited_by_a_link(shelf):
    shelf.bring(1, {"weights": B})
    (shelf.path / "weights").write_bytes(b"x" * len(B))
    assert shelf.bring(2, {"weights": B}) == ["weights"], "it is brought, since the one that is here is wrong"
    assert (shelf.path / "weights").read_bytes() == B
    assert next(facts for facts in shelf.store.models() if facts.revision == commit(1)).damaged == ("weights",)


def test_current_follows_a_branch_and_a_pull_of_an_old_commit_switches_nothing(shelf):
    shelf.bring(1, {"f": A})
    shelf.bring(2, {"f": B})
    assert shelf.current() == commit(2), "main moved, and current follows main"
    shelf.bring(3, {"f": C}, revision=commit(3))
    assert shelf.current() == commit(2), "a commit by its name switches nothing"
    assert shelf.store.use("org/repo", commit(1)[:40]) == commit(1)
    shelf.bring(4, {"f": C})
    assert shelf.current() == commit(1), "who chose a commit keeps it"
    shelf.store.use("org/repo", "main")
    assert shelf.current() == commit(4)
    shelf.bring(5, {"f": A + B})
    assert shelf.current() == commit(5), "and who chose a branch follows it"
    assert str((shelf.folder / "hub" / "org" / "repo" / "current").readlink()) == commit(5)


def test_a_version_that_was_pulled_by_its_commit_is_known_by_its_branch_after_the_next_pull(shelf):
    shelf.bring(1, {"f": A}, revision=commit(1))
    assert shelf.store.lease(shelf.source("main"), "e") is None
    assert shelf.bring(1, {"f": A}) == []
    assert shelf.store.lease(shelf.source("main"), "e").revision == commit(1)


def test_an_engine_without_a_revision_gets_the_current_version_and_with_one_just_that(shelf):
    shelf.bring(1, {"f": A})
    shelf.bring(2, {"f": B})
    shelf.store.use("org/repo", commit(1))
    assert shelf.store.lease(shelf.source(), "one").revision == commit(1)
    assert shelf.store.lease(shelf.source("main"), "two").revision == commit(2)
    assert shelf.store.lease(shelf.source(commit(2)), "three").revision == commit(2)
    assert shelf.store.lease(shelf.source("other"), "four") is None


def test_leases_outlive_the_daemon_and_an_adopted_engine_stays_on_what_it_has(shelf):
    shelf.bring(1, {"f": A})
    shelf.store.lease(shelf.source(), "engine")
    shelf.bring(2, {"f": B})
    shelf.reopen()
    with pytest.raises(StoreError, match="engine uses it"):
        shelf.store.remove("org/repo", commit(1), force=False)
    assert shelf.store.keep(shelf.source(), "engine").revision == commit(1)
    assert shelf.store.lease(shelf.source(), "engine").revision == commit(2), "a start takes what the source means now"
    shelf.store.release("engine")
    assert [facts.leases for facts in shelf.store.models()] == [0, 0]


def test_pins_last_use_and_current_stay_over_a_kill(shelf):
    shelf.bring(1, {"f": A})
    shelf.bring(2, {"f": B})
    shelf.store.pin("org/repo", commit(1), pinned=True)
    before = shelf.store.models()
    shelf.reopen()
    assert shelf.store.models() == before


@pytest.mark.parametrize("wanted", ["1" * 12, "current", "main"])
def test_a_version_is_found_by_what_people_type(shelf, wanted):
    shelf.bring(int("1" * 40, 16), {"f": A})
    assert shelf.store.pin("org/repo", wanted, pinned=True) == "1" * 40


def test_several_versions_or_none_is_an_error_that_says_so(shelf):
    shelf.bring(0xAAAAAAA0, {"f": A})
    shelf.bring(0xAAAAAAA1, {"f": B})
    with pytest.raises(StoreError) as caught:
        shelf.store.use("org/repo", "0" * 30)
    assert caught.value.code == "E_AMBIGUOUS"
    with pytest.raises(StoreError) as caught:
        shelf.store.use("org/repo", "feature")
    assert caught.value.code == "E_NOT_FOUND"


def test_verify_finds_what_changed_and_a_pull_mends_it(shelf):
    shelf.bring(1, {"f": A, "g": B}, proof="git-sha1")
    (version,) = shelf.store.versions()
    assert check(shelf, version) == ()
    (shelf.path / "g").write_bytes(b"x" + B[1:])
    assert check(shelf, version) == ("g",)
    assert shelf.store.lease(shelf.source(), "e") is None, "nobody gets a damaged version"
    assert shelf.store.lease(shelf.source(), "e") is None
    assert shelf.bring(1, {"f": A, "g": B}, proof="git-sha1") == ["g"]
    assert check(shelf, *shelf.store.versions()) == ()
    assert shelf.store.lease(shelf.source(), "e").revision == commit(1)


def test_several_readers_find_the_same_tell_all_and_stand_back_from_others(shelf, monkeypatch):
    files = {f"shard-{number}": bytes([number]) * (50_000 + number) for number in range(9)}
    shelf.bring(1, files)
    (version,) = shelf.store.versions()
    for name in ("shard-7", "shard-2"):
        (shelf.path / name).write_bytes(b"x" * len(files[name]))
    priorities, told, plain = set(), [], verifying.digests

    def watched(*args, **fields):
        priorities.add(
            (threading.current_thread().name[:6], os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        )
        return plain(*args, **fields)

    monkeypatch.setattr(verifying, "digests", watched)
    monkeypatch.setattr(verifying, "LARGE_BYTES", 0)
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert verify(version, Pace(Flag(), None, told.append), 3) == ("shard-2", "shard-7")
    assert told[-1] == sum(map(len, files.values()))
    assert priorities == {("verify", max(verifying.NICE, ours))}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == ours


def test_several_readers_end_when_asked_and_leave_no_thread(shelf, monkeypatch):
    shelf.bring(1, {f"shard-{number}": B for number in range(4)})
    (version,) = shelf.store.versions()
    monkeypatch.setattr(verifying, "LARGE_BYTES", 0)
    flag = Flag()
    flag.set()
    with pytest.raises(Cancelled):
        verify(version, Pace(flag, None, lambda _done: None), 3)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify")]


def test_a_lease_never_ends_by_itself_however_long_an_engine_serves(shelf):
    shelf.bring(1, {"f": A})
    shelf.store.lease(shelf.source(), "engine")
    shelf.bring(2, {"f": B})
    for _ in range(3):
        shelf.clock.now += 365 * 24 * HOUR_S
        assert shelf.store.gc(1 << 60).doomed == ()
        shelf.reopen()
    shelf.store.release("engine")
    assert shelf.store.gc(1 << 60).doomed == (), "its last use was this moment"
    shelf.clock.now += HOUR_S
    assert [one.key for one in shelf.store.gc(1 << 60).doomed] == [f"hub/org/repo/{commit(1)}"]


def test_a_file_that_is_gone_is_lacking_and_comes_again(shelf):
    shelf.bring(1, {"f": A, "g": B})
    (shelf.path / "f").unlink()
    assert shelf.bring(1, {"f": A, "g": B}) == ["f"]


def test_the_schedule_takes_the_one_verified_longest_ago(shelf):
    shelf.bring(1, {"f": A})
    shelf.clock.now += HOUR_S
    shelf.bring(2, {"f": B})
    versions, now = shelf.store.versions(), shelf.clock.now
    assert next_due(versions, 0.0, now + 1e9) is None
    assert next_due(versions, 2 * HOUR_S, now) is None
    assert next_due(versions, 1.5 * HOUR_S, now + HOUR_S).commit == commit(1)


def test_quota_is_kept_before_the_first_byte_and_old_versions_make_room(tmp_path):
    shelf = Shelf(tmp_path / "models", quota_bytes=250_000, young_s=60.0)
    try:
        shelf.bring(1, {"f": A})
        shelf.clock.now += HOUR_S
        shelf.bring(2, {"f": B}, revision="dev")
        shelf.store.pin("org/repo", commit(2), pinned=True)
        with pytest.raises(SpaceError, match="does not fit") as caught:
            shelf.bring(3, {"f": b"d" * 400_000})
        assert "250000" in caught.value.why
        assert shelf.revisions() == [commit(1), commit(2)], "nothing was removed in vain"
        shelf.store.use("org/repo", commit(2))
        shelf.clock.now += HOUR_S
        shelf.bring(3, {"f": b"d" * 130_000})
        assert [one.key.rpartition("/")[2] for one in shelf.collected] == [commit(1)]
        assert shelf.revisions() == [commit(2), commit(3)]
    finally:
        shelf.close()


def test_two_transfers_together_may_not_promise_the_same_space(tmp_path):
    shelf = Shelf(tmp_path / "models", quota_bytes=200_000)
    try:
        one, two = manifest(1, {"f": b"x" * 150_000}), manifest(2, {"f": b"y" * 150_000})
        shelf.store.prepare(shelf.store.begin(one))
        with pytest.raises(SpaceError, match="does not fit"):
            shelf.store.prepare(shelf.store.begin(two))
        shelf.store.end(one)
        shelf.store.end(two)
        shelf.store.prepare(shelf.store.begin(two))
    finally:
        shelf.close()


def test_above_the_high_watermark_the_longest_unused_go_to_the_low_one(tmp_path):
    shelf = Shelf(tmp_path / "models", quota_bytes=1_000_000, young_s=60.0)
    try:
        for number in range(1, 10):
            shelf.clock.now += HOUR_S
            shelf.bring(number, {"f": bytes([number]) * 98_304}, revision=f"r{number}")
        shelf.clock.now += HOUR_S
        shelf.store.lease(shelf.source("r2"), "engine")
        plan = shelf.store.gc(dry_run=True)
        assert len(shelf.revisions()) == 9, "a dry run removes nothing"
        assert [one.key.rpartition("/")[2] for one in plan.doomed] == [commit(3)]
        assert {one.why for one in plan.spared} == {"an engine uses it", "it is the current version"}
        shelf.store.gc()
        assert shelf.store.space().used_bytes <= 800_000
        assert commit(3) not in shelf.revisions()
        assert shelf.store.gc().doomed == ()
    finally:
        shelf.close()


def test_partials_have_an_age_and_a_running_one_is_never_touched(tmp_path):
    shelf = Shelf(tmp_path / "models", partial_age_s=3_600.0)
    try:
        running, left = manifest(1, {"f": A}), manifest(2, {"f": B})
        for wanted, data in ((running, A), (left, B)):
            staging = shelf.store.begin(wanted)
            (staging.work / "partial").write_bytes(data)
        shelf.store.end(left)
        shelf.clock.now += 2 * 3_600.0
        plan = shelf.store.gc()
        assert [(one.partial, one.why) for one in plan.doomed] == [(True, "the partial is too old")]
        assert (staging.work / "partial").exists() is False
        assert (shelf.folder / ".staging" / running.key / "work" / "partial").exists()
    finally:
        shelf.close()


def test_only_one_builds_a_version_and_another_pattern_of_it_joins_later(shelf):
    whole, part = {"f": A, "g": B}, {"f": A}
    first = manifest(1, part)
    staging = shelf.store.begin(first)
    assert shelf.store.begin(manifest(1, whole)) is None
    prepared, _ = shelf.store.prepare(staging)
    place(staging, part, prepared.lacking)
    shelf.store.publish(staging)
    shelf.store.end(first)
    before = (shelf.folder / first.key / "f").stat().st_ino
    assert shelf.bring(1, whole) == ["g"]
    assert (shelf.path / "f").stat().st_ino == before, "what is there and right is not touched"
    assert [facts.files for facts in shelf.store.models()] == [2]


def test_what_the_store_did_not_make_it_leaves_alone(shelf):
    stranger = shelf.folder / "hub" / "org" / "repo" / "notes"
    stranger.mkdir(parents=True)
    (stranger / "mine.txt").write_text("keep")
    shelf.bring(1, {"f": A})
    shelf.reopen()
    shelf.store.remove("org/repo", None, force=True)
    assert (stranger / "mine.txt").read_text() == "keep"
