"""Faults around the appearance of a version: a kill at every step, a collection beside it, two owners, clocks, disks.

Rows of the fault list: 25 kill, 26 power loss, 29 no space, 30 an error of the disk, 31 another revision,
32 two owners, 33 a collection that races, 35 a clock that steps.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actors.downloads import disk
from actors.downloads.errors import DownloadError, SpaceError, StoreError, WrongBytesError
from actors.downloads.store import ModelStore
from tests.actors.downloads.shelf import HOUR_S, Shelf, commit, manifest, place, settings

A, B = b"a" * 70_000, b"b" * 90_000
ROOT = Path(__file__).parents[4]
KILLED = """
import os, sys
from pathlib import Path
from tests.actors.downloads.shelf import Shelf
step, count = int(sys.argv[2]), [0]
shelf = Shelf(Path(sys.argv[1]))
def counted(name):
    real = getattr(os, name)
    def deed(*args, **more):
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), 9)
        return real(*args, **more)
    setattr(os, name, deed)
for name in ("rename", "replace", "unlink", "fsync", "symlink"):
    counted(name)
shelf.bring(2, {"f": b"a" * 70_000, "sub/g": b"b" * 90_000})
print(count[0])
"""


def run_until(folder, step):
    argv = [sys.executable, "-c", KILLED, str(folder), str(step)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_row25_a_kill_at_every_step_of_a_publication_leaves_it_whole_or_absent(tmp_path):
    """Every rename, sync, unlink and symlink of one pull is the last deed once."""
    total = int(run_until(tmp_path / "whole", 0).stdout)
    assert total >= 10
    for step in range(1, total + 1):
        folder = tmp_path / f"{step}"
        first = Shelf(folder)
        first.bring(1, {"f": B})
        first.close()
        assert run_until(folder, step).returncode == -9
        shelf = Shelf(folder)
        try:
            for facts in shelf.store.models():
                files = {
                    str(p.relative_to(facts.path)): p.read_bytes() for p in Path(facts.path).rglob("*") if p.is_file()
                }
                assert files == ({"f": B} if facts.revision == commit(1) else {"f": A, "sub/g": B}), step
            target = (folder / "hub" / "org" / "repo" / "current").readlink()
            assert (folder / "hub" / "org" / "repo" / target).is_dir(), "current always points to a whole version"
            assert shelf.store.gc().doomed == (), "a version that appeared in a crash is young"
            shelf.bring(2, {"f": A, "sub/g": B})
            assert shelf.current() == commit(2)
            assert not any((folder / ".staging").rglob("*"))
        finally:
            shelf.close()


def test_row26_everything_that_makes_a_version_be_there_is_synced_before_it_is_told(shelf, monkeypatch):
    """Power loss: a rename may be believed only after what it names was synced."""
    deeds = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor):
        deeds.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_fsync(descriptor)

    def rename(source, target, **more):
        deeds.append(("rename", str(target)))
        real_rename(source, target, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    shelf.bring(1, {"sub/f": A})
    place_ = deeds.index(("rename", str(shelf.path)))
    before, after = deeds[:place_], deeds[place_:]
    staged = str(shelf.folder / ".staging" / "hub" / "org" / "repo" / commit(1) / "files")
    assert ("sync", staged) in before
    assert ("sync", f"{staged}/sub") in before
    assert any(what == "sync" and f"{commit(1)}.files.json" in path for what, path in before)
    assert ("sync", str(shelf.path.parent)) in after


def test_row29_a_full_disk_publishes_nothing(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        shelf = Shelf(small / "models", free_floor_bytes=200_000)
        with pytest.raises(SpaceError) as caught:
            shelf.bring(1, {"f": b"x" * 900_000})
        assert "stay free" in caught.value.why
        assert shelf.store.models() == ()
        shelf.bring(2, {"f": b"x" * 500_000})
        shelf.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("name", ["write_json", "point", "sync", "sync_tree", "open_to_engines"])
def test_row30_an_error_of_the_disk_in_a_publication_is_an_error_and_the_next_try_mends_it(shelf, monkeypatch, name):
    shelf.bring(1, {"f": A})
    with monkeypatch.context() as patch:

        def broken(*_args, **_more):
            raise OSError(5, "Input/output error")

        patch.setattr(disk, name, broken)
        for module in ("records",):
            if name == "write_json":
                patch.setattr(f"actors.downloads.{module}.write_json", broken)
        with pytest.raises(OSError, match="Input/output"):
            shelf.bring(2, {"f": A, "g": B})
    shelf.reopen()
    assert all(facts.files == len(list(Path(facts.path).iterdir())) for facts in shelf.store.models())
    shelf.bring(2, {"f": A, "g": B})
    assert shelf.current() == commit(2)


def test_row31_files_of_another_commit_never_mix(shelf):
    one, two = manifest(1, {"f": A}), manifest(2, {"f": B})
    staging = shelf.store.begin(one)
    place(staging, {"f": A}, one.files)
    shelf.store.end(one)
    other = shelf.store.begin(two)
    assert other.files != staging.files
    prepared, _ = shelf.store.prepare(other)
    assert [file.name for file in prepared.lacking] == ["f"]


def test_a_staged_file_of_the_wrong_size_or_kind_is_never_published(shelf, tmp_path):
    wanted = manifest(1, {"f": A})
    staging = shelf.store.begin(wanted)
    (staging.files / "f").write_bytes(A[:-1])
    with pytest.raises(WrongBytesError):
        shelf.store.publish(staging)
    (staging.files / "f").unlink()
    outside = tmp_path / "outside"
    outside.write_bytes(A)
    (staging.files / "f").symlink_to(outside)
    with pytest.raises(WrongBytesError):
        shelf.store.publish(staging)
    assert shelf.store.models() == ()


def test_a_small_file_that_changed_after_it_arrived_is_found_by_gits_own_hash(shelf):
    wanted = manifest(1, {"f": A}, proof="git-sha1")
    staging = shelf.store.begin(wanted)
    (staging.files / "f").write_bytes(B[: len(A)])
    with pytest.raises(WrongBytesError):
        shelf.store.publish(staging)
    assert not (staging.files / "f").exists(), "it is brought again"


def test_row32_a_second_owner_is_refused_also_from_another_process(shelf):
    with pytest.raises(StoreError, match="another running agent"):
        ModelStore(settings(shelf.folder))
    code = (
        "import sys; from pathlib import Path; from actors.downloads.store import ModelStore;"
        "from config.downloads import DownloadsSettings; ModelStore(DownloadsSettings(models_dir=Path(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(shelf.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "another running agent" in other.stderr
    shelf.bring(1, {"f": A})


def test_row32_where_locks_lie_the_one_that_came_last_goes_on_and_the_other_changes_nothing(shelf):
    """Some network file systems grant one lock twice: the token in the lock file tells."""
    shelf.bring(1, {"f": A})
    (shelf.folder / ".lock").write_text(json.dumps({"token": "of another", "pid": 1}))
    for deed in (
        lambda: shelf.store.begin(manifest(2, {"f": B})),
        lambda: shelf.store.remove("org/repo", None, force=True),
        lambda: shelf.store.use("org/repo", commit(1)),
        lambda: shelf.store.pin("org/repo", commit(1), pinned=True),
        shelf.store.gc,
    ):
        with pytest.raises(StoreError, match="another running agent"):
            deed()
    assert shelf.revisions() == [commit(1)]


def test_row32_where_locks_lie_the_other_never_overwrites_whose_engines_use_what(shelf):
    shelf.bring(1, {"f": A})
    shelf.store.lease(shelf.source(), "ours")
    (shelf.folder / ".lock").write_text(json.dumps({"token": "of another", "pid": 1}))
    theirs = json.dumps({"theirs": f"hub/org/repo/{commit(1)}"})
    (shelf.folder / ".leases.json").write_text(theirs)
    assert shelf.store.keep(shelf.source(), "ours").revision == commit(1), "what runs goes on"
    assert shelf.store.lease(shelf.source(), "new") is None, "nobody would keep it for a new engine"
    shelf.store.release("ours")
    assert (shelf.folder / ".leases.json").read_text() == theirs


def test_row33_a_version_that_a_transfer_adds_to_is_not_collected_and_one_forced_away_is_no_success(tmp_path):
    """A pull of more files of a commit counts on those that are there."""
    shelf = Shelf(tmp_path / "models", young_s=0.0)
    try:
        shelf.bring(1, {"f": A})
        shelf.bring(2, {"f": B})
        shelf.clock.now += HOUR_S
        both = {"f": A, "g": b"g" * 50_000}
        wanted = manifest(1, both, proofs={"g": "git-sha1"})
        staging = shelf.store.begin(wanted)
        prepared, _ = shelf.store.prepare(staging)
        assert [file.name for file in prepared.lacking] == ["g"]
        place(staging, both, prepared.lacking)
        assert shelf.store.gc(1 << 50).doomed == ()
        with pytest.raises(StoreError, match="not removed") as caught:
            shelf.store.remove("org/repo", commit(1), force=False)
        assert caught.value.why == "a transfer adds to it"
        seen = []

        def removed_meanwhile(_count):
            if not seen:
                seen.append(shelf.store.remove("org/repo", commit(1), force=True))

        with pytest.raises(StoreError, match="was removed while it was brought") as lost:
            shelf.store.publish(staging, removed_meanwhile)
        assert (seen, bool(lost.value.do)) == ([1], True)
        shelf.store.end(wanted)
        assert commit(1) not in shelf.revisions()
    finally:
        shelf.close()


def test_row33_a_collection_beside_publications_takes_nothing_that_is_wanted(tmp_path):
    """Publications and collections in a small store, at once: what was published and leased is whole."""
    shelf = Shelf(tmp_path / "models", quota_bytes=700_000, young_s=0.0)
    ended, errors = threading.Event(), []

    def collect():
        while not ended.is_set():
            try:
                shelf.store.gc(free_bytes=200_000)
            except DownloadError as error:
                errors.append(error)
                return

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(1, 40):
            shelf.clock.now += 1
            shelf.bring(number, {"f": bytes([number]) * 90_000, "same": A}, revision=f"r{number}")
            found = shelf.store.lease(shelf.source(f"r{number}"), f"engine{number % 3}")
            if found is not None:
                assert (Path(found.directory) / "f").read_bytes() == bytes([number]) * 90_000
                assert (Path(found.directory) / "same").read_bytes() == A
            for holder in range(3):
                held = shelf.store.keep(shelf.source(), f"engine{holder}")
                assert held is None or (Path(held.directory) / "f").stat().st_size == 90_000
    finally:
        ended.set()
        collector.join(30)
        shelf.close()
    assert not errors


def test_row35_a_clock_that_steps_back_removes_nothing_young(shelf):
    shelf.bring(1, {"f": A})
    shelf.bring(2, {"f": B})
    shelf.clock.now -= 24 * HOUR_S
    assert shelf.store.gc(free_bytes=1 << 50).doomed == ()
    shelf.clock.now += 48 * HOUR_S
    plan = shelf.store.gc(free_bytes=1 << 50)
    assert [one.key.rpartition("/")[2] for one in plan.doomed] == [commit(1)]
