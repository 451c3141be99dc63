"""The forms of syslog, OTLP and Loki, taken apart by rules of their own."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from actors.forwarding.encoders import FRAME_MAX_BYTES, Source, loki, otlp, syslog
from actors.log.buffer import Line

SOURCE = Source("node-1", 42, "1.0")
HEADER = re.compile(
    rb"<(\d{1,3})>1 (\S+) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) (\d+) ([\x21-\x7e]{1,32}) "
    rb'(-|\[\S+(?: \w+="(?:[^"\\\]]|\\.)*")+\]) \xef\xbb\xbf(.*)\Z',
    re.DOTALL,
)
"""RFC 5424 section 6, as far as we use it."""
AT = "2026-01-02T03:04:05.678901Z"


def line(level="info", **record):
    return Line(level, json.dumps({"at": AT, "level": level, "event": "connected"} | record))


def frames(body):
    found = []
    while body:
        length, _, rest = body.partition(b" ")
        found.append(rest[: int(length)])
        assert len(found[-1]) == int(length)
        body = rest[int(length) :]
    return found


def test_syslog_frames_follow_the_rfc():
    first, second = frames(syslog(SOURCE, [line(actor="link"), line("error", event="it failed")]))
    priority, at, host, app, process, name, extra, text = HEADER.match(first).groups()
    assert (priority, at.decode(), host, app, process, name) == (
        b"30",
        AT,
        b"node-1",
        b"mosalamaagent",
        b"42",
        b"connected",
    )
    assert extra == b'[mosalama@32473 actor="link"]'
    assert json.loads(text)["actor"] == "link"
    assert HEADER.match(second).group(1, 6, 7) == (b"27", b"it_failed", b"-")


@given(st.text(max_size=300), st.text(max_size=40))
def test_any_text_makes_a_frame_that_can_be_taken_apart(event, actor):
    (frame,) = frames(syslog(SOURCE, [line(event=event, actor=actor)]))
    found = HEADER.match(frame)
    assert found, frame
    assert json.loads(found.group(8))["event"] == event


def test_a_line_that_is_too_long_is_cut_between_characters():
    (frame,) = frames(syslog(SOURCE, [line(text="\u00e4" * FRAME_MAX_BYTES)]))
    assert len(frame) <= FRAME_MAX_BYTES
    frame.decode()


def test_otlp_has_time_severity_body_and_typed_attributes():
    (resource,) = json.loads(otlp(SOURCE, [line("warning", count=3, share=0.5, ok=True, parts=[1], none=None)]))[
        "resourceLogs"
    ]
    assert {"key": "host.name", "value": {"stringValue": "node-1"}} in resource["resource"]["attributes"]
    (record,) = resource["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == "1767323045678901000"
    assert (record["severityNumber"], record["severityText"], record["body"]) == (
        13,
        "WARNING",
        {"stringValue": "connected"},
    )
    assert record["attributes"] == [
        {"key": "count", "value": {"intValue": "3"}},
        {"key": "share", "value": {"doubleValue": 0.5}},
        {"key": "ok", "value": {"boolValue": True}},
        {"key": "parts", "value": {"stringValue": "[1]"}},
    ]


def test_loki_has_one_stream_for_each_level_and_names_beside_the_line():
    streams = json.loads(loki(SOURCE, [line(actor="link"), line("error"), line()]))["streams"]
    assert [stream["stream"] for stream in streams] == [
        {"service": "mosalamaagent", "node": "node-1", "level": level} for level in ("info", "error")
    ]
    at, text, beside = streams[0]["values"][0]
    assert (at, json.loads(text)["event"], beside) == ("1767323045678901000", "connected", {"actor": "link"})
    assert len(streams[0]["values"]) == 2


def test_what_is_no_record_is_still_sent():
    assert b"plain words" in syslog(SOURCE, [Line("info", "plain words")])
    assert json.loads(otlp(SOURCE, [Line("info", "[1]")]))
