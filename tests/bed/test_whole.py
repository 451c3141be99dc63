"""The real parts together: an image that serves a model on a Docker Engine, by name and by digest."""

import dataclasses
import hashlib
import os
import urllib.request
from pathlib import Path

import pytest

from tests.bed import debian_sid, llama_image, packages, registry, serving, tiny_gguf, tiny_hf
from tests.bed.docker_engine import DockerEngine, answers
from tests.bed.errors import BedError
from tests.bed.whole import tiny_model


@pytest.mark.timeout(120)
def test_the_image_serves_the_model_by_name_and_by_digest(docker_engine, llama_image, llama_digest, tiny_model):
    texts = []
    for image in (llama_image, llama_digest):
        with serving.engine_container(docker_engine.host, image, tiny_model) as url:
            texts.append(serving.complete(url))
    assert texts[0] == texts[1]
    assert len(texts[0].split()) > 1


def test_the_image_keeps_the_official_contract(docker_engine, llama_image):
    with docker_engine.client() as client:
        config = client.images.get(llama_image).attrs["Config"]
    assert config["Entrypoint"] == ["/app/llama-server"]
    assert config["WorkingDir"] == "/app"
    assert "LLAMA_ARG_HOST=0.0.0.0" in config["Env"]


def test_the_lock_pins_every_package_by_its_sum():
    architecture, locked = debian_sid.read_lock(llama_image.LOCK)
    assert architecture == "amd64"
    assert [package.name for package in locked] == list(llama_image.NAMES)
    assert all(len(bytes.fromhex(package.sha256)) == 32 for package in locked)


def test_a_package_with_another_sum_is_refused(tmp_path):
    _, locked = debian_sid.read_lock(llama_image.LOCK)
    changed = debian_sid.Package(locked[1].name, locked[1].version, "0" * 64, locked[1].file)
    with pytest.raises(BedError, match=r"(?i)hash sum mismatch"):
        debian_sid.have([changed], tmp_path)
    assert not list(tmp_path.glob("*.deb"))


def test_where_the_mirror_has_moved_on_todays_packages_are_taken_and_the_difference_is_said(
    monkeypatch, tmp_path, capsys
):
    architecture, locked = debian_sid.read_lock(llama_image.LOCK)
    old = dataclasses.replace(locked[0], version="0.0-old", sha256="0" * 64, file="pool/gone.deb")
    lines = [f"# architecture: {architecture}", *(package.line() for package in [old, *locked[1:]])]
    (tmp_path / "lock").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(llama_image, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(debian_sid, "resolve", lambda names: locked)
    chosen, files = llama_image._packages()
    assert chosen == locked
    assert all(file.exists() for file in files)
    said = capsys.readouterr().err
    assert "resolving anew" in said
    assert f"libc6: locked 0.0-old, taking {locked[0].version}" in said


def test_an_index_without_the_package_says_which(monkeypatch):
    monkeypatch.setattr(debian_sid, "_index", dict)
    with pytest.raises(BedError, match=r"llama\.cpp-tools"):
        debian_sid.resolve(["llama.cpp-tools"])


def test_an_index_that_the_archive_did_not_sign_is_refused(tmp_path):
    release = tmp_path / "InRelease"
    release.write_text("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256:\n")
    with pytest.raises(debian_sid.subprocess.CalledProcessError):
        debian_sid._verified(release)


def test_a_docker_host_that_does_not_answer_or_is_elsewhere_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(BedError, match="start that engine, or unset DOCKER_HOST"):
        DockerEngine()
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(BedError, match="must be on this machine"):
        DockerEngine()


def test_without_an_engine_and_without_root_it_says_what_to_do(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("tests.bed.docker_engine.DEFAULT_SOCKET", "unix:///nonexistent.sock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BedError, match="usermod -aG docker"):
        DockerEngine()


def test_an_absent_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BedError, match="apt install no-such-package"):
        packages.ensure("no-such-package", "no-such-program")


@pytest.mark.timeout(120)
def test_an_engine_of_our_own_comes_and_goes_without_a_trace(monkeypatch):
    if os.geteuid() != 0:
        with pytest.raises(BedError, match="only root can start one"):
            DockerEngine(own=True)
        return
    before = _bridges()
    with DockerEngine(own=True) as engine:
        made = _bridges() - before
        assert engine.owned
        assert answers(engine.host)
        assert len(made) == 1
        image = llama_image.ensure_image(engine.host)
        with engine.client() as client:
            said = client.containers.run(image, ["--version"], network_mode="host", stderr=True)
        assert b"version" in said
    assert not made & _bridges()
    assert not answers(engine.host)
    assert not engine.socket.parent.exists()
    assert str(engine.socket.parent) not in Path("/proc/mounts").read_text()
    assert engine.program.returncode == 0


def _bridges():
    return {path.name for path in Path("/sys/class/net").glob("mosbed*")}


def test_the_registry_goes_with_its_storage():
    with registry.Registry() as one:
        folder = one.folder
        with urllib.request.urlopen(f"http://{one.address}/v2/", timeout=10) as answer:
            assert answer.status == 200
    assert not folder.exists()


def test_models_are_the_same_bytes_each_time(tmp_path):
    one, other = (tiny_gguf.write(tmp_path / name) for name in ("a.gguf", "b.gguf"))
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    repositories = [tiny_hf.write(tmp_path / name) for name in ("a", "b")]
    files = [{path.name: path.read_bytes() for path in one.iterdir()} for one in repositories]
    assert files[0] == files[1]


@pytest.mark.parametrize("kind", [kind for kind in tiny_gguf.KINDS if kind not in {"slow", "model"}])
def test_every_broken_kind_differs_from_the_whole_model(tmp_path, kind):
    assert tiny_gguf.write(tmp_path / "x.gguf", kind).read_bytes() != tiny_model().read_bytes()


def test_an_unknown_kind_tells_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="truncated"):
        tiny_gguf.write(tmp_path / "x.gguf", "nonesuch")
