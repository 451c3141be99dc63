"""The page's own files, and what goes with every answer."""

import re

import pytest

from actors.api import static_files
from tests.actors.api.bench import Bench


@pytest.fixture
def bench():
    with Bench() as made:
        yield made


@pytest.mark.parametrize("name", sorted(static_files.names()))
def test_a_file_is_served_with_its_type_and_the_hash_of_its_content(bench, name):
    status, headers, _ = bench.ask(f"/static/{name}")
    assert status == 200
    assert headers["Content-Type"].startswith(static_files.TYPES[static_files.suffix(name)])
    assert headers["Cache-Control"] == "no-cache", "a browser asks whether it is still so"
    assert bench.ask(f"/static/{name}", **{"If-None-Match": headers["ETag"]})[::2] == (304, "")
    assert bench.ask(f"/static/{name}", **{"If-None-Match": '"other"'})[0] == 200


@pytest.mark.parametrize("name", ["none.js", "..%2fpage.py", "%2e%2e%2fserver.py", "__init__.py", ".", "vendored.json"])
def test_nothing_else_is_served(bench, name):
    assert bench.ask(f"/static/{name}")[0] == 404


@pytest.mark.parametrize(
    "path", ["/", "/v1/status", "/v1/overview", "/v1/history", "/healthz", "/metrics", "/static/plain.css"]
)
def test_no_answer_is_framed_guessed_or_tells_where_one_came_from(bench, path):
    _, headers, _ = bench.ask(path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_pages_policy_allows_its_own_files_and_nothing_inline(bench):
    policy = bench.ask("/")[1]["Content-Security-Policy"]
    sources = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for kind in ("script-src", "style-src", "img-src", "connect-src"):
        assert sources[kind] == "'self'"
    assert "unsafe" not in policy
    assert sources["require-trusted-types-for"] == "'script'"


def test_the_page_holds_no_inline_script_or_style(bench):
    text = bench.get("/")[1]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
