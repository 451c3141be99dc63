"""Files whose size nobody says: proven and whole, or a clear error in bounded time, with nothing left behind."""

import datetime as dt
import hashlib
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.downloads.bodies import unsized
from actors.downloads.bodies.api import Cancelled
from actors.downloads.bodies.engine import TransferEngine
from actors.downloads.errors import SourceError
from actors.downloads.sources import resolve
from actors.journal import messages as journal
from actors.master.certs import CERTIFICATE_FILE, KEY_FILE, make_authority, make_server_certificate
from protocol.messages.commands import ModelPull
from protocol.messages.model_source import ModelSource, SourceFile
from tests.actors.downloads.answers import yes
from tests.actors.downloads.test_steering import Far
from tests.actors.downloads.test_transfers import Bench, settings
from tests.fakes.unsized_origin import UnsizedOrigin

BODY = random.Random(11).randbytes((3 << 20) + 77)
SHA = hashlib.sha256(BODY).hexdigest()
TRIES = 4
ROOT = Path(__file__).parents[4]


class World:
    def __init__(self, folder):
        self.folder, self.origins, self.benches = folder, [], []

    def origin(self, way="chunked", body=BODY, **fields):
        self.origins.append(UnsizedOrigin(body, way, **fields))
        return self.origins[-1]

    def bench(self, **fields):
        self.benches.append(Bench(settings(Far, self.folder, read_timeout_s=1.0, **fields)))
        return self.benches[-1]

    def pull(self, *origins, sha=SHA, size_max_bytes=None, **fields):
        """The outcome of a manifest with one file of unknown size, and these mirrors."""
        urls = tuple(origin.url for origin in origins)
        file = SourceFile(name="model.bin", size_max_bytes=size_max_bytes, sha256=sha, urls=urls)
        source = ModelSource(kind="manifest", uri="acme/tuned", files=(file,))
        self.outcome = self.bench(**fields).run(ModelPull(source=source))
        return self.outcome

    @property
    def left(self):
        """Every file under the store's own folders of work."""
        models = self.folder / "models"
        return [path for name in (".staging", ".trash") for path in (models / name).rglob("*")]

    def close(self):
        for one in (*self.benches, *self.origins):
            one.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def arrived(outcome):
    assert outcome.state == "done", outcome
    assert outcome.data["size_bytes"] == len(BODY)
    assert (Path(outcome.data["path"]) / "model.bin").read_bytes() == BODY


@pytest.mark.parametrize("way", ["close", "chunked"])
def test_a_body_without_a_length_arrives_whole_and_proven(world, way):
    origin = world.origin(way)
    arrived(world.pull(origin))
    assert not world.left
    assert origin.sent == len(BODY)


@pytest.mark.parametrize("way", ["close", "chunked"])
def test_an_address_with_its_hash_needs_no_size(world, way):
    origin = world.origin(way)
    arrived(world.bench().pull(origin.url, kind="https", sha256=SHA))


def test_an_empty_file_of_unknown_size_arrives(world):
    outcome = world.pull(world.origin("chunked", b""), sha=hashlib.sha256(b"").hexdigest())
    assert (outcome.state, outcome.data["size_bytes"]) == ("done", 0)


def test_a_cut_chunked_body_begins_again_and_is_never_a_success(world):
    origin = world.origin("cut=1000000", times=2)
    arrived(world.pull(origin))
    assert origin.bodies == 3
    assert origin.sent == 2_000_000 + len(BODY), "from zero each time: nobody can go on in the middle"


def test_a_cut_that_lies_exactly_on_the_right_bytes_is_no_success(world):
    """Every byte came and the hash would hold, but the body did not end: the last chunk is missing."""
    outcome = world.pull(world.origin(f"cut={len(BODY)}"))
    assert (outcome.state, outcome.error.code) == ("failed", "E_NETWORK"), outcome


@pytest.mark.parametrize("way", ["cut=1000000", "closecut=1000000", "longer"])
def test_tries_are_bounded_and_nothing_is_left(world, way):
    origin = world.origin(way)
    outcome = world.pull(origin)
    assert (outcome.state, outcome.error.code) == ("failed", "E_NETWORK"), outcome
    assert outcome.error.do
    assert origin.bodies == TRIES
    assert not world.left


def test_a_body_that_only_its_connection_ends_may_have_been_cut_and_is_asked_for_again(world):
    origin = world.origin("closecut=1000000", times=1)
    arrived(world.pull(origin))
    assert origin.bodies == 2


@pytest.mark.parametrize("way", ["ragged=1000000", "shorter"])
def test_a_length_that_lies_is_wrong_bytes_after_two_tries(world, way):
    origin = world.origin(way)
    outcome = world.pull(origin)
    assert (outcome.state, outcome.error.code) == ("failed", "E_WRONG_BYTES"), outcome
    assert origin.bodies == 2
    assert not world.left


def test_a_length_that_lies_once_is_passed(world):
    arrived(world.pull(world.origin("longer", times=1)))


def test_another_mirror_mends_what_one_has_wrong(world):
    liar, honest = world.origin(body=bytes(len(BODY))), world.origin()
    arrived(world.pull(liar, honest))


def test_a_server_that_falls_silent_is_left_and_asked_again(world):
    origin = world.origin("silent=100000", times=1)
    arrived(world.pull(origin))
    assert origin.bodies == 2


def test_more_than_the_manifest_allows_is_refused_before_it_is_written(world):
    origin = world.origin()
    outcome = world.pull(origin, size_max_bytes=1 << 20)
    assert (outcome.error.code, "1048576 are allowed" in outcome.error.why) == ("E_TOO_LARGE", True), outcome
    assert not world.left
    assert world.outcome.error.do


@pytest.fixture
def small_disk(world):
    """The models folder on a file system of its own; gives its size in bytes to whoever mounts it."""
    models, mounted = world.folder / "models", []

    def mount(size_bytes):
        models.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(models)], check=True)
        mounted.append(models)

    yield mount
    for bench in world.benches:
        bench.close()
    world.benches.clear()
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("limit", ["manifest", "quota", "floor"])
def test_an_endless_body_ends_at_what_is_allowed(world, limit, small_disk, monkeypatch):
    monkeypatch.setattr(unsized, "STEP_BYTES", 1 << 20)
    fields = {}
    if limit == "quota":
        fields = {"quota_bytes": 8 << 20}
    elif limit == "floor":
        small_disk(24 << 20)
        fields = {"free_floor_bytes": 16 << 20}
    origin = world.origin("endless")
    outcome = world.pull(origin, size_max_bytes=8 << 20 if limit == "manifest" else None, **fields)
    assert outcome.error.code == ("E_TOO_LARGE" if limit == "manifest" else "E_SPACE"), outcome
    assert not world.left
    assert origin.sent < 32 << 20


def test_nothing_is_removed_for_what_nobody_knows_the_size_of(world, monkeypatch):
    monkeypatch.setattr(unsized, "STEP_BYTES", 1 << 20)
    first = world.bench(quota_bytes=8 << 20, young_s=0.0)
    small = world.origin(body=b"small" * 400_000)
    kept = first.pull(small.url, kind="https", sha256=hashlib.sha256(small.body).hexdigest())
    assert kept.state == "done"
    endless = world.origin("endless")
    outcome = first.pull(endless.url, kind="https", sha256=SHA)
    assert outcome.error.code == "E_SPACE"
    assert Path(kept.data["path"]).is_dir()


def test_the_room_that_is_left_is_enough_for_what_fits(world):
    """Room is taken in steps of 64 MiB where there is so much, else what there is."""
    arrived(world.pull(world.origin(), quota_bytes=len(BODY) + (64 << 10)))


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing_behind(world, small_disk):
    small_disk(2 << 20)
    outcome = world.pull(world.origin())
    assert outcome.error.code == "E_SPACE", outcome
    assert not world.left


@pytest.mark.parametrize(("number", "code"), [(28, "E_SPACE"), (122, "E_SPACE"), (5, "E_STORE")])
def test_an_error_of_the_disk_is_said_and_leaves_nothing(world, monkeypatch, number, code):
    real = os.pwrite

    def broken(descriptor, data, at):
        if at >= 1 << 20:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data, at)

    origin = world.origin()
    with monkeypatch.context() as patch:
        patch.setattr(unsized.os, "pwrite", broken)
        outcome = world.pull(origin)
    assert outcome.error.code == code
    assert not world.left


def test_progress_has_bytes_and_a_rate_and_no_total(world):
    origin = world.origin(rate=4 << 20)
    arrived(world.pull(origin))
    told = [one for one in world.benches[0].journal.of(journal.Progress) if one.stage == "transferring"]
    assert any(one.done for one in told)
    assert {one.total for one in told} == {0}


def test_what_the_store_has_already_is_not_asked_for(world):
    origin = world.origin()
    bench = world.bench()
    assert bench.pull(origin.url, kind="https", sha256=SHA).state == "done"
    file = SourceFile(name="other.bin", sha256=SHA, urls=(origin.url,))
    again = bench.run(ModelPull(source=ModelSource(kind="manifest", uri="acme/tuned", files=(file,))))
    assert again.state == "done"
    assert origin.bodies == 1


def test_the_same_bytes_under_two_names_come_once(world):
    origin = world.origin()
    files = tuple(SourceFile(name=name, sha256=SHA, urls=(origin.url,)) for name in ("a", "sub/b"))
    outcome = world.bench().run(ModelPull(source=ModelSource(kind="manifest", uri="acme/twice", files=files)))
    assert (outcome.state, outcome.data["files"], origin.bodies) == ("done", 2, 1), outcome
    assert {(Path(outcome.data["path"]) / file.name).read_bytes() for file in files} == {BODY}


def test_files_of_known_and_of_unknown_size_are_one_version(world):
    first, second = world.origin(), world.origin("close", BODY[::-1])
    files = (
        SourceFile(name="a", sha256=SHA, urls=(first.url,)),
        SourceFile(name="b", sha256=hashlib.sha256(BODY[::-1]).hexdigest(), size_bytes=len(BODY), urls=(second.url,)),
    )
    outcome = world.bench().run(ModelPull(source=ModelSource(kind="manifest", uri="acme/two", files=files)))
    assert (outcome.state, outcome.data["files"]) == ("done", 2), outcome
    assert (Path(outcome.data["path"]) / "b").read_bytes() == BODY[::-1]


PULLED = """
import sys, threading
from pathlib import Path
from tests.actors.downloads.faults.test_unsized import World
class Known:
    url = sys.argv[2]
World(Path(sys.argv[1])).pull(Known)
"""


def test_kill_9_in_the_middle_and_again(world):
    """What was there is no use; it begins at zero, is right, and the end of the first is not in the way."""
    origin = world.origin(rate=2 << 20)
    for number in (1, 2):
        child = subprocess.Popen([sys.executable, "-c", PULLED, str(world.folder), origin.url], cwd=ROOT)
        try:
            while origin.sent < (number << 20) and child.poll() is None:
                origin.moved.wait(1)
                origin.moved.clear()
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(20)
        assert not list((world.folder / "models").glob("*/*/*/current")), "nothing half is published"
    origin.rate = 0
    arrived(world.pull(origin))
    assert not world.left


def test_it_is_cancelled_soon_also_while_the_server_is_silent(bench, world):
    origin = world.origin("silent=100000")
    file = unsized.UnsizedFile("model.bin", SHA, (origin.url,))
    staging = bench.staging(bench.file(origin.url))
    staging.work.mkdir()
    engine = TransferEngine(bench.settings(read_timeout_s=600.0))
    told = []

    def tell(progress):
        told.append(progress)
        if progress.done_bytes or len(told) > 3:
            bench.control.cancel()

    with pytest.raises(Cancelled):
        engine.unsized(staging, file, bench.control, tell, lambda least, most: most)
    assert not list(staging.work.iterdir())


def test_the_hours_and_the_cap_are_kept(bench, world):
    minutes = iter([10 * 60] * 3 + [23 * 60] * 10_000)
    configured = bench.settings(hours="22:00-06:00", rate_max_bytes_s=2_000_000)
    engine = TransferEngine(configured, minute=lambda: next(minutes))
    origin = world.origin()
    staging = bench.staging(bench.file(origin.url))
    staging.work.mkdir()
    begun = time.monotonic()
    known = engine.unsized(
        staging,
        unsized.UnsizedFile("model.bin", SHA, (origin.url,)),
        bench.control,
        bench.told.append,
        lambda _least, most: most,
    )
    assert (known.size_bytes, bench.read()) == (len(BODY), BODY)
    assert (bench.told[0].state, "22:00" in bench.told[0].why) == ("waiting", True)
    assert time.monotonic() - begun >= len(BODY) / 2_000_000 - 0.5


@pytest.mark.parametrize(("way", "bodies"), [("chunked", 1), ("close", 1), ("cut=1000000", 2), ("closecut=1000000", 2)])
def test_over_tls_a_cut_is_no_success_either(bench, world, tmp_path, way, bodies):
    now = dt.datetime.now(dt.UTC)
    make_authority(tmp_path, now)
    make_server_certificate(tmp_path, ("127.0.0.1",), now)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / CERTIFICATE_FILE, tmp_path / KEY_FILE)
    origin = world.origin(way, times=1, tls=tls)
    staging = bench.staging(bench.file(origin.url))
    staging.work.mkdir()
    engine = TransferEngine(bench.settings())
    engine._tls = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    file = unsized.UnsizedFile("model.bin", SHA, (origin.url,))
    known = engine.unsized(staging, file, bench.control, bench.told.append, lambda _least, most: most)
    assert (known.size_bytes, bench.read(), origin.bodies) == (len(BODY), BODY, bodies)


def test_the_policy_on_addresses_is_that_of_every_transfer(world):
    origin = world.origin()
    url = origin.url.replace("127.0.0.1", "localhost")
    source = ModelSource(uri=url, kind="https", sha256=SHA)
    with pytest.raises(SourceError) as caught:
        resolve(settings(Far, world.folder), source, yes)
    assert caught.value.code == "E_POLICY.url"
    assert not origin.headers
    file = SourceFile(name="model.bin", sha256=SHA, urls=(url,))
    outcome = world.bench().run(ModelPull(source=ModelSource(kind="manifest", uri="acme/tuned", files=(file,))))
    assert outcome.error.code == "E_POLICY.url"
    assert not origin.headers
