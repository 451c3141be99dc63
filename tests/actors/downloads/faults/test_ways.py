"""Beside the table: redirects, credentials, chunks, mirrors that disagree, disks that fail, orders to hold or end."""

import errno
import subprocess
import threading

import pytest

from actors.downloads.bodies import job
from actors.downloads.bodies.api import Cancelled
from actors.downloads.errors import DownloadError, SourceError, SpaceError, WrongBytesError
from tests.actors.downloads.faults.conftest import BLOCK, BODY
from tests.fakes.failing_disk import FailingDisk

pytestmark = pytest.mark.usefixtures("several")


def test_a_redirect_in_circles_is_an_error(bench):
    origin = bench.origin("loop")
    with pytest.raises(SourceError, match="circles"):
        bench.bring(bench.file(origin.url))
    assert origin.requests <= 10


def test_the_credential_goes_to_its_own_host_only(bench):
    content = bench.origin()
    hub = bench.origin(signed=True)
    hub.base = content.base.replace("127.0.0.1", "localhost")
    bench.bring(bench.file(hub.url))
    assert bench.read() == BODY
    assert all(headers.get("Authorization") == "Bearer secret" for headers in hub.headers)
    assert content.headers
    assert not any("Authorization" in headers for headers in content.headers)


def test_an_address_that_expires_itself_is_asked_for_at_its_source(bench):
    spent, fresh, asked = bench.origin(signed=True), bench.origin(), []
    file = bench.file(spent.url.replace("/file", "/signed/9"))
    bench.bring(file, manifest={"renew": lambda name: asked.append(name) or (fresh.url,)})
    assert bench.read() == BODY
    assert asked == ["model.bin"]


def test_a_redirect_to_a_forbidden_address_is_not_followed(bench):
    hub = bench.origin(signed=True)
    hub.base = "http://10.0.0.1:1"
    with pytest.raises(SourceError) as caught:
        bench.bring(bench.file(hub.url))
    assert caught.value.code == "E_POLICY.url"


def test_416_where_the_file_should_go_on_is_an_error_that_says_so(bench, several):
    if several == "all":  # a whole file is asked for without a range
        bench.bring(bench.file(bench.origin("gone").url))
        assert bench.read() == BODY
        return
    with pytest.raises(WrongBytesError, match="ends before byte"):
        bench.bring(bench.file(bench.origin("gone").url))


@pytest.mark.parametrize("fault", ["chunked", "norange"])
def test_bodies_without_a_length_or_ranges(bench, fault):
    bench.bring(bench.file(bench.origin(fault).url))
    assert bench.read() == BODY


def test_mirrors_with_different_etags_and_the_same_bytes_are_one_file(bench):
    first, second = bench.origin("cut=100000", etag='"a"'), bench.origin(etag='W/"b"')
    bench.bring(bench.file(first.url, second.url))
    assert bench.read() == BODY


def test_mirrors_that_disagree_give_the_bytes_that_were_promised(bench):
    liar, honest = bench.origin(body=bytes(len(BODY))), bench.origin()
    bench.bring(bench.file(liar.url, honest.url))
    assert bench.read() == BODY


def test_mirrors_that_are_all_wrong_are_an_error(bench):
    wrong = [bench.origin(body=bytes([number]) * len(BODY)) for number in (1, 2)]
    with pytest.raises(WrongBytesError):
        bench.bring(bench.file(*(origin.url for origin in wrong)))
    assert not bench.there


def test_small_large_empty_and_equal_files_of_both_proofs(bench):
    bodies = {
        "large": BODY,
        "sub/twin": BODY,
        "empty": b"",
        "tiny": b"x",
        "one": BODY[:BLOCK],
        "two": BODY[: BLOCK + 1],
    }
    files = [
        bench.file(bench.origin(body=body).url, body=body, name=f"{proof}/{name}", proof=proof)
        for name, body in bodies.items()
        for proof in ("sha256", "git-sha1")
    ]
    brought = bench.bring(*files)
    assert brought.files == len(files)
    for file in files:
        assert bench.read(file.name) == bodies[file.name.partition("/")[2]]


def test_what_is_there_and_right_is_not_asked_for_and_what_is_wrong_is_not_written_into(bench):
    origin, other = bench.origin(), bench.folder / "linked"
    target = bench.folder / "files" / "model.bin"
    target.parent.mkdir()
    target.write_bytes(BODY)
    bench.bring(bench.file(origin.url))
    assert not origin.requests
    damaged = b"\0" + BODY[1:]
    target.write_bytes(damaged)
    other.hardlink_to(target)
    bench.bring(bench.file(origin.url))
    assert (bench.read(), other.read_bytes()) == (BODY, damaged)


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EIO, DownloadError, "E_STORE"),
        (errno.EDQUOT, SpaceError, "E_SPACE"),
        (errno.ENOSPC, SpaceError, "E_SPACE"),
    ],
)
def test_a_disk_that_fails_in_the_middle_is_said_and_what_was_written_is_used(bench, monkeypatch, number, kind, code):
    origin = bench.origin()
    monkeypatch.setattr(job, "PartialFile", FailingDisk(number, len(BODY) // 2))
    with pytest.raises(kind) as caught:
        bench.bring(bench.file(origin.url))
    assert caught.value.code == code
    assert not bench.there
    monkeypatch.undo()
    before = origin.sent
    bench.bring(bench.file(origin.url))
    assert bench.read() == BODY
    assert origin.sent - before <= 0.75 * len(BODY)


def test_a_full_disk_is_known_before_the_first_byte_and_tmpfs_takes_buffered_writes(bench):
    small = bench.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        bench.folder = small
        origin = bench.origin()
        bench.bring(bench.file(origin.url))
        assert bench.read() == BODY
        before = origin.sent
        with pytest.raises(SpaceError, match="cannot be written"):
            bench.bring(bench.file(bench.origin(body=BODY[1:]).url, body=BODY[1:], name="second"))
        assert bench.there == {"model.bin"}
        assert origin.sent == before
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_transfer_that_is_cancelled_ends_soon_and_goes_on_later(bench):
    origin = bench.origin(rate=300_000)
    told = threading.Event()
    bench.told = type("Told", (list,), {"append": lambda _self, progress: progress.done_bytes and told.set()})()
    caught = []

    def bring():
        try:
            bench.bring(bench.file(origin.url))
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=bring)
    thread.start()
    assert told.wait(20)
    bench.control.cancel()
    thread.join(20)
    assert caught
    assert not bench.there
    bench.control = type(bench.control)()
    origin.rate, before = 0, origin.sent
    bench.bring(bench.file(origin.url))
    assert bench.read() == BODY
    assert origin.sent - before < len(BODY)


def test_a_pause_holds_and_a_resumption_goes_on(bench):
    origin = bench.origin()
    bench.control.pause()
    states = []

    class Told:
        def append(self, progress):
            states.append(progress.state)
            if states.count("paused") == 2:
                bench.control.resume()

    bench.told = Told()
    bench.bring(bench.file(origin.url))
    assert states[:2] == ["paused", "paused"]
    assert bench.read() == BODY


def test_the_hours_hold_a_transfer_until_they_come(bench):
    from actors.downloads.bodies.engine import TransferEngine

    minutes = iter([10 * 60] * 3 + [23 * 60] * 10_000)
    file = bench.file(bench.origin().url)
    engine = TransferEngine(bench.settings(hours="22:00-06:00"), minute=lambda: next(minutes), block_bytes=BLOCK)
    engine(bench.staging(file), (file,), bench.control, bench.told.append)
    assert bench.told[0].state == "waiting"
    assert "22:00" in bench.told[0].why
    assert bench.read() == BODY


def test_the_bandwidth_cap_is_kept_by_all_connections_together(bench):
    brought = bench.bring(bench.file(bench.origin().url), settings=bench.settings(rate_max_bytes_s=2_000_000))
    assert brought.seconds >= len(BODY) / 2_000_000 - 0.5


def test_a_slow_origin_is_asked_by_all_connections(bench, several):
    bench.bring(bench.file(bench.origin(rate=400_000).url))
    assert bench.read() == BODY
    assert max(progress.connections for progress in bench.told) == (1 if several == "all" else 4)


@pytest.mark.parametrize("connections", [2, 4])
def test_one_answer_brings_several_blocks(bench, connections, several):
    origin = bench.origin()
    bench.bring(bench.file(origin.url), settings=bench.settings(connections=connections))
    assert bench.read() == BODY
    assert origin.sent == len(BODY), "no byte is asked for twice"
    assert origin.bodies <= (1 if several == "all" else 6)
