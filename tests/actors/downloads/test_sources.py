"""What each kind of source resolves to, and how a bad one is refused: clearly, and with what to do."""

import hashlib
import os
from importlib.metadata import EntryPoint

import pytest

from actors.downloads import local, plugins
from actors.downloads.errors import SourceError, TransferError
from actors.downloads.manifest import Manifest, RemoteFile, UnsizedFile
from actors.downloads.sources import resolve
from config.downloads import CredentialSettings, DownloadsSettings
from protocol.messages.model_source import ModelSource, SourceFile
from tests.actors.downloads.answers import settings, yes
from tests.fakes.hub import Hub

DATA = os.urandom(50_000)
SHA = hashlib.sha256(DATA).hexdigest()


# -- one address, a manifest -----------------------------------------------------------------------------------


def test_an_address_with_its_hash_is_a_version_of_one_file(web, tmp_path):
    web.say("/m/weights.gguf", DATA)
    source = ModelSource(uri=f"{web.url}/m/weights.gguf", kind="https", sha256=SHA)
    found = resolve(settings(tmp_path), source, yes)
    assert [(file.name, file.size_bytes, file.digest) for file in found.files] == [("weights.gguf", len(DATA), SHA)]
    assert found.model == f"127.0.0.1-{web.url.rpartition(':')[2]}/weights.gguf"
    assert len(found.commit) == 40


def test_a_server_that_knows_no_head_is_asked_for_a_byte_and_one_that_says_no_size_is_a_file_of_unknown_size(
    web, tmp_path
):
    source = ModelSource(uri=f"{web.url}/x", kind="https", sha256=SHA)
    web.known["HEAD", "/x"] = (403, {}, b"")
    web.known["GET", "/x"] = (206, {"Content-Range": "bytes 0-0/50000"}, b"x")
    assert resolve(settings(tmp_path), source, yes).size_bytes == 50_000
    web.known["GET", "/x"] = (200, {}, DATA)
    assert resolve(settings(tmp_path), source, yes).size_bytes == len(DATA), "it gives no ranges, and says its size"
    for answer in ((200, {"Content-Length": None}, b"x"), (206, {"Content-Range": "bytes 0-0/*"}, b"x")):
        web.known["GET", "/x"] = answer
        found = resolve(settings(tmp_path), source, yes)
        assert (found.files, found.unsized) == ((), (UnsizedFile("x", SHA, (source.uri,)),))
    packed = (200, {"Content-Encoding": "gzip"}, b"x")
    web.known["GET", "/x"] = packed
    assert resolve(settings(tmp_path), source, yes).files == (), "the size of what is packed is not the file's"
    web.known["GET", "/x"] = (404, {}, b"")
    with pytest.raises(SourceError, match="cannot be had"):
        resolve(settings(tmp_path), source, yes)
    web.known["GET", "/x"] = (503, {}, b"")
    with pytest.raises(TransferError):
        resolve(settings(tmp_path), source, yes)


def given(urls=("https://a.example.org/f",), **fields):
    file = SourceFile(**({"name": "f", "size_bytes": 3, "sha256": SHA, "urls": urls} | fields))
    return ModelSource(uri="manifest/acme/tuned", kind="manifest", files=(file,))


def test_a_manifest_is_taken_as_it_is_and_its_mirrors_are_the_machines_to_allow(tmp_path):
    found = resolve(settings(tmp_path), given(("https://a.example.org/f", "https://b.example.org/f")), yes)
    assert (found.key, found.files[0].urls[1]) == (f"manifest/acme/tuned/{found.commit}", "https://b.example.org/f")
    for wrong in (given(("ftp://a/f",)), given(("file:///etc/shadow",)), given(name="../f")):
        with pytest.raises(SourceError):
            resolve(settings(tmp_path), wrong, yes)
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path), given(), lambda uri: not uri.startswith("https://"))
    assert (caught.value.code, "policy.sources" in caught.value.do) == ("E_POLICY.url", True)


# -- credentials -----------------------------------------------------------------------------------------------


def credential(tmp_path, text="secret", mode=0o600, hosts=("127.0.0.1",)):
    file = tmp_path / "credential"
    file.write_text(text)
    file.chmod(mode)
    return CredentialSettings(name="acme", file=file, hosts=hosts)


def private(web, tmp_path, **fields):
    web.say("/x", DATA)
    source = ModelSource(uri=f"{web.url}/x", kind="https", sha256=SHA, credential=fields.pop("name", "acme"))
    return resolve(settings(tmp_path, **fields), source, yes)


def test_a_named_credential_goes_to_its_own_hosts(web, tmp_path):
    found = private(web, tmp_path, credentials=(credential(tmp_path),))
    assert found.headers == {"Authorization": "Bearer secret"}
    assert web.asked[0][2]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "other"}, "E_POLICY.credential"),
        ({"hosts": ("models.example.org",)}, "E_POLICY.credential"),
        ({"mode": 0o644}, "E_CREDENTIAL"),
        ({"text": ""}, "E_CREDENTIAL"),
        ({"text": "two words"}, "E_CREDENTIAL"),
        ({"text": "na\u00efve"}, "E_CREDENTIAL"),
    ],
)
def test_a_credential_that_is_wrong_is_never_sent_and_never_shown(web, tmp_path, fields, code):
    name = fields.pop("name", "acme")
    with pytest.raises(SourceError) as caught:
        private(web, tmp_path, name=name, credentials=(credential(tmp_path, **fields),))
    assert caught.value.code == code
    assert caught.value.do
    assert "two words" not in str(caught.value.failure())
    assert web.asked == []


def test_a_token_never_goes_in_the_clear_over_the_internet(tmp_path):
    token = tmp_path / "token"
    token.write_text("hf_secret")
    token.chmod(0o600)
    with pytest.raises(SourceError) as caught:
        resolve(
            DownloadsSettings(hub_url="http://hub.example.org", hub_token_file=token),
            ModelSource(uri="hf://org/repo"),
            yes,
        )
    assert caught.value.code == "E_POLICY.credential"


# -- this machine ----------------------------------------------------------------------------------------------


def path_source(folder, **fields):
    return ModelSource(uri=str(folder), kind="path", **fields)


def test_a_folder_is_its_plain_files_and_links_that_stay_where_sources_may_be(tmp_path):
    folder, blobs = tmp_path / "srv" / "tuned", tmp_path / "srv" / "blobs"
    (folder / "sub").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "x").write_bytes(DATA)
    (folder / "sub" / "config.json").write_text("{}")
    (folder / "weights").symlink_to(blobs / "x")
    allowed = lambda uri: uri.startswith(str(tmp_path / "srv"))  # noqa: E731  # a policy in one line
    found = resolve(settings(tmp_path), path_source(folder), allowed)
    assert [(file.name, file.size_bytes) for file in found.files] == [("sub/config.json", 2), ("weights", len(DATA))]
    assert found.key.startswith("path/local/tuned/")
    (folder / "weights").unlink()
    (folder / "weights").symlink_to("/etc/hostname")
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path), path_source(folder), allowed)
    assert caught.value.code == "E_POLICY.url"
    assert resolve(settings(tmp_path), path_source(folder, exclude=("weights",)), allowed).size_bytes == 2


def test_a_folder_of_too_many_files_is_refused_before_they_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "m"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}").write_text("x")
    monkeypatch.setattr(local, "FILES_MAX", 10)
    monkeypatch.setattr(local, "digests", lambda *_args: pytest.fail("a file was read"))
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path), path_source(folder), yes)
    assert (caught.value.code, bool(caught.value.do)) == ("E_TOO_LARGE", True)


@pytest.mark.parametrize("kind", ["pipe", "dots", "absent", "socket folder", "device"])
def test_what_is_no_plain_file_is_never_opened(tmp_path, kind):
    folder = tmp_path / "m"
    folder.mkdir()
    uri = str(folder)
    if kind == "pipe":
        os.mkfifo(folder / "pipe")
    elif kind == "dots":
        uri = f"{folder}/../m"
    elif kind == "absent":
        uri = str(folder / "absent")
    elif kind == "device":
        uri = "/dev/zero"
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path), path_source(uri), yes)
    assert caught.value.do


# -- installed sources -----------------------------------------------------------------------------------------


class Acme:
    given = None

    def resolve(self, _settings, source):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given or Manifest(
            "evil", source.model, "v1", "c" * 40, (RemoteFile("f", 3, "sha256", SHA, ("https://a.example.org/f",)),)
        )


def acme(monkeypatch, value=None):
    monkeypatch.setattr(Acme, "given", value)
    point = EntryPoint("acme", f"{__name__}:Acme", plugins.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _self: Acme)
    monkeypatch.setattr(plugins, "entry_points", lambda **asked: [point] if asked.get("name", "acme") == "acme" else [])
    return ModelSource(uri="acme://team/model", kind="plugin")


def test_an_installed_source_resolves_and_is_kept_under_its_own_scheme(tmp_path, monkeypatch):
    assert resolve(settings(tmp_path), acme(monkeypatch), yes).key == f"acme/team/model/{'c' * 40}"


@pytest.mark.parametrize(
    "value",
    [
        RuntimeError("boom"),
        "no manifest",
        Manifest("x", "other/model", "v", "c" * 40, ()),
        Manifest("x", "team/model", "v", "not hex", ()),
        Manifest("x", "team/model", "v", "c" * 40, (RemoteFile("../f", 3, "sha256", SHA, ("https://a/f",)),)),
        Manifest("x", "team/model", "v", "c" * 40, (), unsized=(UnsizedFile("f", SHA, ()),)),
        Manifest("x", "team/model", "v", "c" * 40, (), unsized=(UnsizedFile("../f", SHA, ("https://a/f",)),)),
        Manifest(
            "x",
            "team/model",
            "v",
            "c" * 40,
            (RemoteFile("f", 3, "sha256", SHA, ("https://a/f",)),),
            unsized=(UnsizedFile("F", SHA, ("https://a/f",)),),
        ),
    ],
)
def test_an_installed_source_that_is_wrong_ends_as_a_clear_error(tmp_path, monkeypatch, value):
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path), acme(monkeypatch, value), yes)
    assert caught.value.do


def test_an_installed_source_may_not_know_how_big_its_files_are(tmp_path, monkeypatch):
    unsized = (UnsizedFile("f", SHA, ("https://a.example.org/f",), 1 << 30),)
    given = Manifest("x", "team/model", "v", "c" * 40, (), unsized=unsized)
    found = resolve(settings(tmp_path), acme(monkeypatch, given), yes)
    assert (found.source, found.unsized) == ("acme", unsized)


def test_a_scheme_that_nobody_brings_says_which_there_are(tmp_path):
    with pytest.raises(SourceError, match="no source s3://"):
        resolve(settings(tmp_path), ModelSource(uri="s3://bucket/model", kind="plugin"), yes)


def test_what_this_machine_does_not_allow_is_not_even_asked(web, tmp_path):
    with pytest.raises(SourceError) as caught:
        resolve(settings(tmp_path, hub_url=web.url), ModelSource(uri="hf://org/repo"), lambda _uri: False)
    assert caught.value.code == "E_POLICY.url"
    assert web.asked == []


@pytest.mark.parametrize(
    ("source", "model"),
    [
        (ModelSource(uri="/..", kind="path"), "local/model"),
        (ModelSource(uri="/srv/.hidden", kind="path"), "local/hidden"),
        (
            ModelSource(uri="https://h.example.org:8443/a/b.gguf?sig=1", kind="https", sha256=SHA),
            "h.example.org-8443/b.gguf",
        ),
        (given(), "acme/tuned"),
        (ModelSource(uri="hf://org/repo@v1:a/b.gguf"), "org/repo"),
    ],
)
def test_a_model_is_always_two_safe_parts_of_a_path(source, model):
    assert source.model == model


def test_the_fake_hub_and_the_patterns(tmp_path):
    repo = tmp_path / "hub" / "org" / "repo"
    repo.mkdir(parents=True)
    (repo / "a.gguf").write_bytes(DATA)
    (repo / "b.json").write_text("{}")
    fake = Hub(tmp_path / "hub")
    try:
        source = ModelSource(uri="hf://org/repo:a.gguf")
        assert [file.name for file in resolve(settings(tmp_path, hub_url=fake.url), source, yes).files] == ["a.gguf"]
    finally:
        fake.close()
