"""Transfers over a real tree and a hub on loopback: complete and proven, or a clear error and nothing published."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.downloads.bodies.engine import TransferEngine
from actors.downloads.errors import DownloadError, SourceError
from actors.downloads.manager.actor import DownloadManagerActor
from actors.downloads.manifest import check_names
from actors.downloads.sources import resolve
from actors.downloads.store import ModelStore
from actors.facts import ModelsChanged
from actors.journal import messages as journal
from actors.supervision.spec import ChildSpec, Strategy, SupervisorSpec
from actors.supervision.system import System
from config.downloads import DownloadsSettings
from protocol.messages.commands import ModelPin, ModelPull, ModelRemove, ModelUse
from protocol.messages.model_source import ModelSource
from tests.fakes.hub import Hub
from tests.fakes.listener import Listener

BIG = os.urandom(3 << 20)


@pytest.fixture
def hub(tmp_path):
    repo = tmp_path / "hub" / "org" / "repo"
    (repo / "sub").mkdir(parents=True)
    (repo / "config.json").write_text("{}")
    (repo / "empty.txt").write_text("")
    (repo / "sub" / "model.safetensors").write_bytes(BIG)
    made = Hub(tmp_path / "hub")
    yield made
    made.close()


def settings(hub, tmp_path, **fields):
    given = {"hub_url": hub.url, "models_dir": tmp_path / "models", "allow_private_hosts": ("127.0.0.1",)}
    return DownloadsSettings(**(given | {"free_floor_bytes": 0, "tries": 4, "read_timeout_s": 2.0} | fields))


def allowed(uri):
    return not uri.startswith("hf://forbidden")


class Bench:
    def __init__(self, configured):
        self.journal, self.observer = Listener("/journal"), Listener("/observer")
        self.store = ModelStore(configured)
        held = []

        def manager():
            return DownloadManagerActor(
                settings=configured,
                store=self.store,
                allowed=allowed,
                bring=TransferEngine(configured),
                resolve=lambda source, read: resolve(configured, source, allowed, read),
                transfers=held[0].handle("/root/transfers"),
                transfer=lambda name: held[0].handle(f"/root/transfers/{name}"),
                journal_handle=self.journal,
                observers=(self.observer,),
                wall=time.time,
            )

        transfers = SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=100)
        held.append(System(SupervisorSpec(children=(ChildSpec("transfers", transfers), ChildSpec("manager", manager)))))
        self.system = held[0]
        self.system.start()
        self.number = 0

    def run(self, command):
        self.number += 1
        name = f"{self.number:032x}"
        self.system.handle("/root/manager").tell(journal.Execute(name, command, b""))
        return self.journal.wait(journal.Outcome, lambda message: message.command_id == name, timeout_s=30)

    def pull(self, uri, **fields):
        return self.run(ModelPull(source=ModelSource(uri=uri, **fields)))

    def close(self):
        self.system.stop()
        self.store.close()


@pytest.fixture
def bench(hub, tmp_path):
    made = Bench(settings(hub, tmp_path))
    yield made
    made.close()


def test_a_repository_arrives_whole_and_proven(bench, tmp_path):
    outcome = bench.pull("hf://org/repo")
    assert outcome.state == "done", outcome
    folder = Path(outcome.data["path"])
    assert (folder / "sub" / "model.safetensors").read_bytes() == BIG
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "empty.txt").read_bytes() == b""
    assert folder.name == outcome.data["revision"]
    assert (folder.parent / "current").resolve() == folder.resolve()
    assert not list(folder.rglob("*.part"))
    (facts,) = bench.observer.wait(ModelsChanged, lambda message: message.models).models
    assert (facts.model, facts.current, facts.size_bytes) == ("org/repo", True, len(BIG) + 2)
    assert any(message.total == len(BIG) + 2 for message in bench.journal.of(journal.Progress))


def test_one_file_and_patterns(bench):
    one = bench.pull("hf://org/repo:sub/model.safetensors")
    assert one.data["files"] == 1
    more = bench.pull("hf://org/repo", include=("*.json",))
    folder = Path(more.data["path"])
    assert (folder / "config.json").exists()
    assert (folder / "sub" / "model.safetensors").exists(), "an earlier pull of the same commit stays"


def test_the_same_model_asked_twice_is_one_transfer(bench):
    handle = bench.system.handle("/root/manager")
    for number in (101, 102):
        handle.tell(journal.Execute(f"{number:032x}", ModelPull(source=ModelSource(uri="hf://org/repo")), b""))
    for number in (101, 102):
        name = f"{number:032x}"
        assert bench.journal.wait(journal.Outcome, lambda m, n=name: m.command_id == n, timeout_s=30).state == "done"
    assert len([event for event in bench.journal.of(journal.Emit) if event.kind == "model.done"]) == 1


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("hf://org/absent", "E_SOURCE.unknown"),
        ("hf://org/repo@nosuch", "E_SOURCE.revision"),
        ("hf://org/repo:absent.gguf", "E_SOURCE.file"),
        ("hf://forbidden/repo", "E_POLICY.url"),
    ],
)
def test_what_cannot_be_had_is_told_with_what_to_do(bench, uri, code):
    outcome = bench.pull(uri)
    assert (outcome.state, outcome.error.code) == ("failed", code), outcome
    assert bench.store.models() == ()


def test_versions_are_used_pinned_and_removed(bench, hub):
    first = bench.pull("hf://org/repo").data["revision"]
    (hub.root / "org" / "repo" / "config.json").write_text('{"new": 1}')
    second = bench.pull("hf://org/repo").data["revision"]
    assert first != second
    assert {facts.revision: facts.current for facts in bench.store.models()} == {first: False, second: True}
    assert bench.run(ModelUse(model="org/repo", revision=first)).state == "done"
    assert {facts.revision: facts.current for facts in bench.store.models()} == {first: True, second: False}
    assert bench.run(ModelPin(model="org/repo", revision=first, pinned=True)).state == "done"
    refused = bench.run(ModelRemove(model="org/repo", revision=first))
    assert (refused.state, refused.error.why) == ("failed", "it is pinned")
    assert bench.run(ModelRemove(model="org/repo", revision=second)).data["removed"] == 1
    assert bench.run(ModelRemove(model="org/repo", force=True)).data["removed"] == 1
    assert bench.store.models() == ()
    assert bench.run(ModelRemove(model="org/repo")).error.code == "E_NOT_FOUND"


def test_a_leased_version_is_not_removed(bench):
    bench.pull("hf://org/repo")
    local = bench.store.lease(ModelSource(uri="hf://org/repo"), "engine")
    assert local.files == ("config.json", "empty.txt", "sub/model.safetensors")
    assert bench.run(ModelRemove(model="org/repo")).error.why == "engine uses it"
    bench.store.release("engine")
    assert bench.run(ModelRemove(model="org/repo")).state == "done"
    assert bench.store.lease(ModelSource(uri="hf://org/repo"), "engine") is None


def test_no_room_is_said_before_the_first_byte(hub, tmp_path):
    bench = Bench(settings(hub, tmp_path, free_floor_bytes=1 << 50))
    outcome = bench.pull("hf://org/repo")
    assert outcome.error.code == "E_SPACE"
    assert "are free" in outcome.error.why
    bench.close()


def test_a_second_owner_of_the_folder_is_refused(bench, tmp_path):
    with pytest.raises(DownloadError, match="another running agent"):
        ModelStore(DownloadsSettings(models_dir=tmp_path / "models"))


def test_a_private_repository_needs_the_token(hub, tmp_path):
    hub.token = "hf_privatetoken"
    with pytest.raises(SourceError, match="private"):
        resolve(settings(hub, tmp_path), ModelSource(uri="hf://org/repo"), allowed)
    file = tmp_path / "token"
    file.write_text("hf_privatetoken\n")
    file.chmod(0o600)
    configured = settings(hub, tmp_path, hub_token_file=file)
    bench = Bench(configured)
    assert bench.pull("hf://org/repo").state == "done"
    bench.close()


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "127.0.0.1", "[::1]", "0x7f000001", "[::ffff:10.0.0.1]", "10.0.0.1"]
)
def test_a067_private_addresses_are_refused_before_any_connection(host, tmp_path):
    configured = DownloadsSettings(hub_url=f"http://{host}:1", models_dir=tmp_path)
    with pytest.raises(SourceError) as caught:
        resolve(configured, ModelSource(uri="hf://org/repo"), allowed)
    assert caught.value.code == "E_POLICY.url"


@pytest.mark.parametrize(
    "names",
    [["../x"], ["/etc/passwd"], ["a/../b"], ["a//b"], ["."], ["a\\b"], ["a\nb"], ["A", "a"], [""], ["~x"], ["x" * 600]],
)
def test_file_names_that_are_not_safe_are_refused(names):
    with pytest.raises(SourceError):
        check_names(names)


SNAPSHOT = """
import json, sys
from huggingface_hub import snapshot_download
for folder, include, exclude in json.loads(sys.argv[1]):
    snapshot_download("org/repo", local_dir=folder, allow_patterns=include or None, ignore_patterns=exclude or None)
"""
PATTERNS = [((), ()), (("*.json",), ()), (("sub/",), ("*.txt",)), ((), ("*.safetensors", "empty*"))]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_trees_are_those_that_huggingface_hub_makes(hub, tmp_path):
    """Several revisions, each whole and by patterns, with LFS and other files, empty ones and unusual names."""
    repo, environment = hub.root / "org" / "repo", {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    (repo / "sub" / "notes \u00fc #1.txt").write_text("not LFS")
    for revision in range(2):
        (repo / "config.json").write_text(json.dumps({"revision": revision}))
        (repo / "sub" / "more.gguf").write_bytes(os.urandom(1_000 + revision))
        theirs = [(str(tmp_path / f"theirs{revision}{number}"), *chosen) for number, chosen in enumerate(PATTERNS)]
        run = [sys.executable, "-c", SNAPSHOT, json.dumps(theirs)]
        home = {"HF_HOME": str(tmp_path / f"hf{revision}")}
        subprocess.run(run, env=os.environ | environment | home, check=True, timeout=60, capture_output=True)
        for number, (folder, include, exclude) in enumerate(theirs):
            bench = Bench(settings(hub, tmp_path, models_dir=tmp_path / f"models{number}"))
            outcome = bench.pull("hf://org/repo", include=include, exclude=exclude)
            bench.close()
            shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)
            assert tree(Path(outcome.data["path"])) == tree(Path(folder)), (revision, include, exclude)
