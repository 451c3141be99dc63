"""What the faults are tried with: a file of several blocks, one engine, origins that are closed in the end."""

import hashlib
import random
import threading

import pytest

from actors.downloads.address import origin_of
from actors.downloads.bodies.api import Control
from actors.downloads.bodies.engine import TransferEngine
from actors.downloads.bodies.job import Job
from actors.downloads.manifest import Manifest, RemoteFile, Staging
from config.downloads import DownloadsSettings
from tests.fakes.origin import Origin

BLOCK = 256 << 10
BODY = random.Random(6).randbytes(12 * BLOCK - 1_000)


class Bench:
    """A staging folder, and a way to bring one file into it."""

    def __init__(self, folder):
        self.folder, self.origins, self.told = folder, [], []
        self.control, self.moved = Control(), threading.Event()

    def origin(self, fault="ok", body=BODY, **fields):
        self.origins.append(Origin(body, fault, **fields))
        return self.origins[-1]

    def file(self, *urls, body=BODY, name="model.bin", proof="sha256"):
        git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        return RemoteFile(name, len(body), proof, hashlib.sha256(body).hexdigest() if proof == "sha256" else git, urls)

    def staging(self, *files, **fields):
        given = {"headers": {"Authorization": "Bearer secret"}, "origin": origin_of(files[0].urls[0])} | fields
        manifest = Manifest("hub", "org/repo", "main", "c0ffee", files, **given)
        return Staging(manifest, self.folder / "files", self.folder / "work")

    def settings(self, **fields):
        given = {"models_dir": self.folder, "allow_private_hosts": ("127.0.0.1", "localhost"), "connections": 4}
        return DownloadsSettings(**(given | {"read_timeout_s": 1.0, "tries": 4} | fields))

    def bring(self, *files, settings=None, manifest=None, block_bytes=BLOCK, **fields):
        engine = TransferEngine(settings or self.settings(), block_bytes=block_bytes, **fields)
        return engine(self.staging(*files, **(manifest or {})), files, self.control, self.tell)

    def tell(self, progress):
        self.told.append(progress)
        self.moved.set()

    @property
    def there(self):
        return {str(path.relative_to(self.folder / "files")) for path in (self.folder / "files").rglob("*")}

    def read(self, name="model.bin"):
        return (self.folder / "files" / name).read_bytes()

    def close(self):
        for origin in self.origins:
            origin.close()


@pytest.fixture(params=["by need", "all"])
def several(request, monkeypatch):
    """How many blocks an answer brings: as it is decided, or all that are missing even while the hash waits."""
    if request.param == "all":
        monkeypatch.setattr(Job, "plenty", lambda _job, _now: True)
    return request.param


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()
