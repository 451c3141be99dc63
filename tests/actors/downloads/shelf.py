"""A store on a temporary folder, and versions made of given bytes: everything but the transfer."""

import hashlib
import time

from actors.downloads.manifest import Manifest, RemoteFile
from actors.downloads.store import ModelStore
from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

HOUR_S = 3_600.0


class Clock:
    def __init__(self):
        self.now = time.time()  # files have times of the same clock

    def __call__(self):
        return self.now


def settings(folder, **fields):
    return DownloadsSettings(**({"models_dir": folder, "free_floor_bytes": 0} | fields))


def commit(number):
    return f"{number:040x}"


def remote(name, data, proof="sha256"):
    digest = hashlib.sha256(data).hexdigest()
    if proof == "git-sha1":
        digest = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return RemoteFile(name, len(data), proof, digest, ("http://example.invalid/x",))


def manifest(number, files, *, model="org/repo", revision="main", proof="sha256", proofs=None):
    listed = tuple(remote(name, data, (proofs or {}).get(name, proof)) for name, data in files.items())
    return Manifest("hub", model, revision, commit(number), listed)


def place(staging, files, lacking):
    """What a transfer does: the lacking files stand in the staging, proven."""
    for file in lacking:
        target = staging.files / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[file.name])


class Shelf:
    def __init__(self, folder, **fields):
        self.clock = Clock()
        self.folder = folder
        self.settings = settings(folder, **fields)
        self.store = ModelStore(self.settings, wall=self.clock)

    def reopen(self):
        """As after a kill: nothing is written on the way out."""
        self.store.close()
        self.store = ModelStore(self.settings, wall=self.clock)

    def bring(self, number, files, **fields):
        """One whole pull; what had to be brought."""
        wanted = manifest(number, files, **fields)
        staging = self.store.begin(wanted)
        assert staging is not None
        try:
            prepared, self.collected = self.store.prepare(staging)
            place(staging, files, prepared.lacking)
            self.path = self.store.publish(staging)
        finally:
            self.store.end(wanted)
        return [file.name for file in prepared.lacking]

    def source(self, revision=None, model="org/repo"):
        return ModelSource(uri=f"hf://{model}" + (f"@{revision}" if revision else ""))

    def revisions(self, model="org/repo"):
        return [facts.revision for facts in self.store.models() if facts.model == model]

    def current(self, model="org/repo"):
        return next((facts.revision for facts in self.store.models() if facts.model == model and facts.current), None)

    def close(self):
        self.store.close()
