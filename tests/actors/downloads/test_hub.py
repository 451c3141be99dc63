"""The hub as a source: its answers are input, and checked before they count."""

import hashlib
import json

import pytest

from actors.downloads import hub
from actors.downloads.errors import DownloadError, SourceError
from actors.downloads.manifest import FILES_MAX, check_names, wanted
from actors.downloads.sources import resolve
from protocol.messages.model_source import ModelSource
from tests.actors.downloads.answers import settings, yes

SHA = hashlib.sha256(b"weights").hexdigest()


def entry(path, **fields):
    return {"type": "file", "path": path, "size": 5, "oid": "b" * 40} | fields


def of_hub(web, tmp_path, uri="hf://org/repo", **fields):
    return resolve(settings(tmp_path, hub_url=web.url), ModelSource(uri=uri, **fields), yes)


def test_a_repository_is_its_files_with_their_proofs_and_all_mirrors(web, tmp_path):
    web.hub([entry("config.json"), entry("w.bin", lfs={"oid": SHA, "size": 7}), {"type": "directory", "path": "d"}])
    configured = settings(tmp_path, hub_url=web.url, hub_mirrors=("https://mirror.example.org/hf",))
    found = resolve(configured, ModelSource(uri="hf://org/repo"), yes)
    assert (found.source, found.model, found.commit, found.revision) == ("hub", "org/repo", "a" * 40, "main")
    assert [(file.name, file.proof, file.size_bytes) for file in found.files] == [
        ("config.json", "git-sha1", 5),
        ("w.bin", "sha256", 7),
    ]
    tail = f"org/repo/resolve/{'a' * 40}/w.bin"
    assert found.files[1].urls == (f"{web.url}/{tail}", f"https://mirror.example.org/hf/{tail}")


def test_a_mirror_answers_when_the_hub_does_not_and_never_sees_the_token(web, tmp_path):
    web.hub([entry("config.json")])
    token = tmp_path / "token"
    token.write_text("hf_secret")
    token.chmod(0o600)
    dead = "http://127.0.0.1:9"
    configured = settings(tmp_path, hub_url=dead, hub_mirrors=(web.url,), hub_token_file=token)
    found = resolve(configured, ModelSource(uri="hf://org/repo"), yes)
    assert found.files[0].urls[0].startswith(web.url)
    assert all("Authorization" not in headers for _, _, headers in web.asked)
    assert found.origin == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("status", "word", "code", "says"),
    [
        (403, "GatedRepo", "E_SOURCE.gated", "ask for access"),
        (404, "RevisionNotFound", "E_SOURCE.revision", "branch, a tag or a commit"),
        (404, "RepoNotFound", "E_SOURCE.unknown", "check the name"),
        (401, "RepoNotFound", "E_SOURCE.private", "hub_token_file"),
        (401, "", "E_SOURCE.private", "hub_token_file"),
        (404, "", "E_SOURCE.unknown", "check the name"),
        (500, "", "E_NETWORK", "later"),
        (429, "", "E_NETWORK", "later"),
    ],
)
def test_a_refusal_of_the_hub_says_which_and_what_to_do(web, tmp_path, status, word, code, says):
    web.say("/api/models/org/repo/revision/main", {}, status, **({"X-Error-Code": word} if word else {}))
    with pytest.raises(DownloadError) as caught:
        of_hub(web, tmp_path)
    assert caught.value.code == code
    assert says in caught.value.do


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../x")],
        [entry("/etc/passwd")],
        [entry("a/../../b")],
        [entry("A"), entry("a")],
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry("D/x"), entry("d/y")],
        [entry("na\u00efve"), entry("nai\u0308ve")],
        [entry("x" * 300)],
        [entry("a\x00b")],
        [entry("\ud800")],
        [entry("a", size=-1)],
        [entry("a", size="5")],
        [entry("a", size=1 << 60)],
        [entry("a", oid="")],
        [entry("a", oid="zz")],
        [entry("a", lfs={"oid": "short", "size": 1})],
        [entry("a", size=None)],
        [entry("a", lfs={"oid": SHA, "size": "7"})],
        {"error": "no list"},
        ["not a map"],
        [],
    ],
)
def test_a_list_that_cannot_be_trusted_is_refused_whole(web, tmp_path, entries):
    web.hub(entries)
    with pytest.raises(SourceError) as caught:
        of_hub(web, tmp_path)
    assert caught.value.do


def test_a_file_in_lfs_without_a_size_is_one_of_unknown_size(web, tmp_path):
    web.hub([entry("config.json"), entry("w.bin", lfs={"oid": SHA})])
    found = of_hub(web, tmp_path)
    assert [file.name for file in found.files] == ["config.json"]
    assert [(file.name, file.sha256) for file in found.unsized] == [("w.bin", SHA)]


@pytest.mark.parametrize("sha", ["main", "../../etc", "current", "", None, 5, "A" * 40, "a" * 39])
def test_a_commit_is_hex_and_nothing_else(web, tmp_path, sha):
    web.hub([entry("a")], sha=sha)
    with pytest.raises(SourceError, match="no commit"):
        of_hub(web, tmp_path)


def test_html_instead_of_an_answer_names_the_portal(web, tmp_path):
    web.say("/api/models/org/repo/revision/main", b"<html>sign in</html>", **{"Content-Type": "text/html"})
    with pytest.raises(SourceError) as caught:
        of_hub(web, tmp_path)
    assert "proxy or a sign-in page" in caught.value.do


def test_pages_are_followed_on_the_same_host_only(web, tmp_path):
    tree = f"/api/models/org/repo/tree/{'a' * 40}"
    web.hub([entry("a")])
    web.known[tree] = (200, {"Link": f'<{web.url}/page2>; rel="next"'}, json.dumps([entry("a")]).encode())
    web.say("/page2", [entry("b")])
    assert [file.name for file in of_hub(web, tmp_path).files] == ["a", "b"]
    web.known[tree] = (200, {"Link": '<http://127.0.0.1:1/page2>; rel="next"'}, json.dumps([entry("a")]).encode())
    with pytest.raises(SourceError) as caught:
        of_hub(web, tmp_path)
    assert caught.value.code == "E_POLICY.url"


def test_a_million_files_are_refused_before_they_are_all_listed(web, tmp_path, monkeypatch):
    """A hub that never ends its list: every page names the next one."""
    tree = f"/api/models/org/repo/tree/{'a' * 40}"
    web.hub([])
    page = json.dumps([entry(f"{number}") for number in range(5_000)]).encode()
    web.known[tree] = (200, {"Link": f'<{web.url}{tree}>; rel="next"'}, page)
    with pytest.raises(SourceError) as caught:
        of_hub(web, tmp_path)
    assert caught.value.code == "E_TOO_LARGE"
    assert "include patterns" in caught.value.do
    assert len(web.asked) < FILES_MAX / 5_000 + 5
    monkeypatch.setattr(hub, "PAGES_MAX", 20)
    with pytest.raises(SourceError):
        of_hub(web, tmp_path, include=("nothing like it",))


def test_an_endless_answer_is_cut(web, tmp_path, monkeypatch):
    monkeypatch.setattr("actors.downloads.control.ANSWER_MAX_BYTES", 1_000)
    web.say("/api/models/org/repo/revision/main", b"x" * 5_000)
    with pytest.raises(SourceError) as caught:
        of_hub(web, tmp_path)
    assert caught.value.code == "E_TOO_LARGE"


def test_the_limit_of_files_is_one_for_every_source():
    with pytest.raises(SourceError, match="more than"):
        check_names(str(number) for number in range(FILES_MAX + 1))


@pytest.mark.parametrize(
    ("name", "include", "exclude", "chosen"),
    [
        ("a/b.json", ("*.json",), (), True),
        ("a/b.json", ("a/",), (), True),
        ("b.json", (), ("*.json",), False),
        ("b.json", ("*.json",), ("b.*",), False),
        ("B.JSON", ("*.json",), (), False),
        ("x[1].bin", ("x[[]1].bin",), (), True),
    ],
)
def test_patterns_are_those_of_huggingface_hub(name, include, exclude, chosen):
    from huggingface_hub.utils import filter_repo_objects

    assert wanted(name, include, exclude) is chosen
    theirs = filter_repo_objects([name], allow_patterns=list(include) or None, ignore_patterns=list(exclude) or None)
    assert bool(list(theirs)) is chosen
