"""A hub with a few models, the way to it, and who brings files from it, in virtual time.

`SimHubClient.resolve` and `bring` stand where the daemon has its resolver and its transfer engine; the store that they
fill is the daemon's own, on a real folder that outlives every process of the agent.
"""

import hashlib
import random

from actors.downloads.bodies.api import Brought, Cancelled, Progress
from actors.downloads.errors import TransferError, WrongBytesError
from actors.downloads.manifest import Manifest, RemoteFile
from actors.downloads.store import ModelStore

MODELS = ("sim/one", "sim/two", "sim/three")
FILES = ("config.json", "part-1.gguf", "part-2.gguf")
SIZES_BYTES = (200, 9_000)
CHUNK_BYTES = 1_500
CHUNK_S = (0.05, 5.0)
ASK_S = (0.02, 0.5)
HANG_S = 30.0
"""After which a connection without a byte has failed."""
TRIES = 5


class SimHub:
    """`down` is "" or how it fails: "refuses" or "hangs". `lies`: so many of the next chunks arrive damaged."""

    def __init__(self, schedule, seed):
        self.schedule, self.rng = schedule, random.Random(f"{seed}/hub")
        self.down, self.lies = "", 0
        content = random.Random(f"{seed}/models")
        self.models = {
            model: {name: content.randbytes(content.randint(*SIZES_BYTES)) for name in FILES} for model in MODELS
        }

    def fail(self, how, for_s):
        self.down = how
        self.schedule.after(for_s, self.recover)

    def recover(self):
        self.down = ""

    def holds(self, folder, model):
        """Whether this folder is that model, every byte of it."""
        return all(
            (folder / name).is_file() and (folder / name).read_bytes() == content
            for name, content in self.models[model].items()
        )


class SimHubClient:
    """What one process of the agent sees of it."""

    def __init__(self, hub, runtime):
        self._hub, self._runtime = hub, runtime

    def _sleep(self, delay_s):
        self._runtime.parker().park(delay_s)
        self._runtime.check()

    def _ask(self):
        self._sleep(self._hub.rng.uniform(*ASK_S))
        if self._hub.down == "hangs":
            self._sleep(HANG_S)
        if self._hub.down:
            raise TransferError("E_NETWORK", "the hub does not answer", self._hub.down, "", retry=True)

    def resolve(self, source, _read):
        """What actors.downloads.sources.resolve finds out."""
        self._ask()
        model = source.model
        files = tuple(
            RemoteFile(name, len(content), "sha256", hashlib.sha256(content).hexdigest(), (f"https://hub.test/{name}",))
            for name, content in self._hub.models[model].items()
        )
        commit = hashlib.sha256(b"".join(self._hub.models[model].values())).hexdigest()[:40]
        return Manifest("hub", model, "main", commit, files)

    def bring(self, staging, files, control, progress):
        """What actors.downloads.bodies.engine brings: complete and proven files, or an error that says why not."""
        begun, done = self._runtime.now(), 0
        total = staging.manifest.size_bytes
        for file in files:
            for attempt in range(1, TRIES + 1):
                try:
                    done += self._file(staging, file, control)
                    break
                except (TransferError, WrongBytesError):
                    if attempt == TRIES:
                        raise
                    progress(Progress("waiting", done, total, why="the connection broke"))
                    self._sleep(2.0**attempt)
            progress(Progress("transferring", done, total))
        return Brought(len(files), total, done, self._runtime.now() - begun)

    def _file(self, staging, file, control):
        content = self._hub.models[staging.manifest.model][file.name]
        partial = staging.work / file.name
        have = partial.stat().st_size if partial.exists() else 0
        while have < len(content):
            if control.cancelled:
                raise Cancelled
            self._sleep(self._hub.rng.uniform(*CHUNK_S))
            if self._hub.down:
                self._ask()
            chunk = content[have : have + CHUNK_BYTES]
            if self._hub.lies:
                self._hub.lies -= 1
                chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
            with partial.open("ab") as out:
                out.write(chunk)
            have += len(chunk)
        if hashlib.sha256(partial.read_bytes()).hexdigest() != file.digest:
            partial.unlink()
            raise WrongBytesError("E_CORRUPT", f"{file.name} is not what was promised")
        partial.replace(staging.files / file.name)
        return len(content)


class SimStore(ModelStore):
    """The daemon's own store; whoever runs the world is told of every version that appears."""

    published = staticmethod(lambda model, folder: None)

    def publish(self, staging, read=lambda _count: None):
        folder = super().publish(staging, read)
        self.published(staging.manifest.model, folder)
        return folder
