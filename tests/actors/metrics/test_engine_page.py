"""The page that is read again and again against the plain functions, over pages that change in every way."""

import random
from pathlib import Path

import pytest

from actors.metrics import engine_latency, engine_schema
from actors.metrics.engine_page import LEARN_EVERY, EnginePage
from actors.metrics.exposition import Page, parse

VLLM = Path(__file__).parent / "vllm_0.32.0.prom"
FIELDS = engine_schema.fields_with({"waiting": ["my_queue"]})


def plainly(text):
    return (
        engine_schema.read_page(parse(text), FIELDS),
        engine_latency.read_buckets(parse(text)),
    )


def read(page, text):
    return page.read(Page.of(text.encode()))


def lines_with(lines, rng, share):
    """Other numbers in some lines."""
    return [
        f"{line.rpartition(' ')[0]} {rng.randrange(1000) / 8}" if rng.random() < share and line[:1] != "#" else line
        for line in lines
    ]


@pytest.mark.parametrize("seed", range(20))
def test_it_says_what_the_plain_functions_say_whatever_changes(seed):
    rng, page = random.Random(seed), EnginePage(FIELDS)
    lines = VLLM.read_text().splitlines()
    for _ in range(40):
        what = rng.random()
        if what < 0.6:
            lines = lines_with(lines, rng, rng.choice((0.01, 0.3, 1.0)))
        elif what < 0.7:
            del lines[rng.randrange(len(lines))]
        elif what < 0.8:
            lines.insert(rng.randrange(len(lines)), f"my_queue {rng.randrange(9)}")
        elif what < 0.9:
            lines.insert(rng.randrange(len(lines)), 'vllm:num_requests_running{engine="1",tp_rank="0"} 3')
        else:
            lines.insert(rng.randrange(len(lines)), 'vllm:e2e_request_latency_seconds_sum{engine="1"} 4.5')
        text = "\n".join([*lines, ""])
        assert read(page, text) == plainly(text)


@pytest.mark.parametrize("other", ["vllm:num_requests_running_now 1", "vllm:num_requests_running many", "", "# x"])
def test_a_line_that_is_not_what_it_was_is_seen_at_once(other):
    page = EnginePage(FIELDS)
    text = "# one\nvllm:num_requests_running 1\nvllm:num_requests_waiting 2\n"
    changed = text.replace("vllm:num_requests_running 1", other)
    assert read(page, text) == plainly(text)
    assert read(page, changed) == plainly(changed) == ({"waiting": 2.0}, {})


def test_a_series_in_the_place_of_one_that_nobody_wants_is_seen_in_a_while():
    page = EnginePage(FIELDS)
    before, after = "vllm:num_requests_running 1\nother 1\n", "vllm:num_requests_running 1\nmy_queue 7\n"
    read(page, before)
    found = [read(page, after)[0] for _ in range(LEARN_EVERY)]
    assert found[-1] == {"running": 1.0, "waiting": 7.0}


def test_histograms_that_did_not_change_are_the_very_same_object():
    page, text = EnginePage(FIELDS), VLLM.read_text()
    first, second = read(page, text)[1], read(page, text)[1]
    assert first
    assert all(second[name] is buckets for name, buckets in first.items())


@pytest.mark.parametrize("head", [b"\n", b"HTTP/1.0 200 OK\r\n\r\n", b"vllm:num_requests_running 9\n"])
def test_what_stands_before_a_page_is_no_part_of_it_and_changes_nothing(head):
    page, body = EnginePage(FIELDS), b"vllm:num_requests_running 1\nother 1\n"
    assert page.read(Page.of(body))[0] == {"running": 1.0}
    moved = body.replace(b"running 1", b"running 2")
    assert page.read(Page(head + moved, len(head)))[0] == {"running": 2.0}
    assert Page(head + moved, len(head)).body() == moved


@pytest.mark.parametrize("odd", [b"na\xc3\xafve", b"\xff\xfe", "\u0661".encode()])
def test_a_label_that_is_no_ascii_or_no_text_shifts_no_number(odd):
    page = EnginePage(FIELDS)
    for count in (1, 12, 345, 7):
        body = b'vllm:request_success_total{finished_reason="%s"} %d\nvllm:num_requests_running %d\n' % (
            odd,
            count,
            count,
        )
        assert page.read(Page.of(body)) == plainly(body.decode(errors="replace"))
