import gzip
import json
import logging
import os
import threading

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from actors.log.redact import REDACTED, may_tell, redact, redact_text
from actors.log.repeat import RepeatLimit
from actors.log.setup import FILE_NAME, configure
from actors.log.sink import RotatingSink
from config.log import LogSettings

SECRETS = [
    "msj1.aabbccdd.c2VjcmV0c2VjcmV0.pin",
    "hf_abcdefghijklmnop",
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "Bearer abcdefgh12345678",
    "https://user:pa55word@host/x",
    "https://cdn/x?X-Amz-Signature=deadbeefdeadbeef&y=1",
]


@pytest.fixture
def log(tmp_path):
    made = configure(LogSettings(), tmp_path)
    handlers = list(logging.getLogger().handlers)
    yield structlog.get_logger(), tmp_path / FILE_NAME
    made.close()
    structlog.reset_defaults()
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def records(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_record_is_one_json_object_with_its_bound_names(log):
    logger, file = log
    with structlog.contextvars.bound_contextvars(actor="/root/link", command_id="00ff"):
        logger.info("connected", master="https://m")
    (record,) = records(file)
    assert record["event"] == "connected"
    assert (record["actor"], record["command_id"], record["level"]) == ("/root/link", "00ff", "info")
    assert record["at"].endswith("Z")


def test_below_the_level_nothing_is_written(log):
    logger, file = log
    logger.debug("hidden")
    assert not file.exists()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_planted_secret_never_reaches_the_file(log, secret):
    logger, file = log
    logger.warning("spoke", text=f"before {secret} after", nested={"list": [secret]}, token=secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed")
    logging.getLogger("somebody").warning("said %s", secret)
    text = file.read_text()
    assert text.count(REDACTED) >= 4
    for part in ("pa55word", "deadbeef", "c2VjcmV0", "abcdefgh", "c2lnbmF0dXJl"):
        assert part not in text


def test_a_key_that_names_a_secret_loses_its_value():
    event = redact(None, "info", {"event": "x", "hub_token": "abc", "tokens_total": 5, "body": b"abc"})
    assert event == {"event": "x", "hub_token": REDACTED, "tokens_total": 5, "body": "(3 bytes)"}


def test_plain_text_is_left_alone():
    assert redact_text("nothing to see at https://host/path?x=1") == "nothing to see at https://host/path?x=1"


def test_the_sink_rotates_by_size_and_keeps_a_bounded_number(tmp_path):
    sink = RotatingSink(tmp_path / "a.log", max_bytes=100, max_age_s=1e9, kept=2)
    for number in range(20):
        sink.write(b"%02d" % number * 20)
        sink._packer and sink._packer.join()
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1.gz", "a.log.2.gz"]
    youngest = gzip.decompress((tmp_path / "a.log.1.gz").read_bytes())
    assert b"17" in youngest
    assert sink.dropped == 0


def test_the_sink_rotates_by_age(tmp_path):
    sink = RotatingSink(tmp_path / "a.log", max_bytes=1 << 20, max_age_s=-1.0, kept=2)
    sink.write(b"one")
    sink.write(b"two")
    sink.close()
    assert (tmp_path / "a.log").read_bytes() == b"two\n"


def test_a_sink_that_cannot_write_drops_counts_and_never_raises(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    sink = RotatingSink(blocked / "a.log", max_bytes=100, max_age_s=1e9, kept=2)
    sink.write(b"x")
    sink.write(b"y")
    assert sink.dropped == 2
    assert capsys.readouterr().err.count("cannot write") == 1


def test_lines_of_many_threads_are_whole(tmp_path):
    sink = RotatingSink(tmp_path / "a.log", max_bytes=10_000, max_age_s=1e9, kept=50)
    threads = [threading.Thread(target=lambda n=n: [sink.write(b"%d" % n * 30) for _ in range(200)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    lines = (tmp_path / "a.log").read_bytes().splitlines()
    for path in tmp_path.glob("*.gz"):
        lines += gzip.decompress(path.read_bytes()).splitlines()
    assert len(lines) == 800
    assert {len(line) for line in lines} == {30}


def test_equal_events_are_counted_not_repeated():
    now = [0.0]
    limit = RepeatLimit(2, lambda: now[0])
    passed = 0
    for _ in range(10):
        try:
            limit(None, "info", {"event": "again"})
            passed += 1
        except structlog.DropEvent:
            pass
    assert passed == 2
    now[0] = 61.0
    assert limit(None, "info", {"event": "again"})["repeated"] == 8


def test_errors_are_never_held_back():
    limit = RepeatLimit(1, lambda: 0.0)
    for _ in range(5):
        assert limit(None, "error", {"event": "bad"})


def test_levels_change_while_the_process_runs_for_all_or_for_one_actor(tmp_path):
    made = configure(LogSettings(), tmp_path)
    bound = structlog.get_logger().bind(actor="link")
    bound.debug("hidden")
    made.levels.change("debug", "link")
    bound.debug("link seen")
    structlog.get_logger().bind(actor="engines").debug("others hidden")
    made.levels.change("error")
    structlog.get_logger().warning("hidden too")
    bound.debug("link still seen")
    made.close()
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = []
    assert [record["event"] for record in records(tmp_path / FILE_NAME)] == ["link seen", "link still seen"]
    assert made.levels.now() == {"": "error", "link": "debug"}
    with pytest.raises(ValueError, match="no level"):
        made.levels.change("loud")


def test_rotated_files_are_bounded_in_size_together_and_in_age(tmp_path):
    sink = RotatingSink(tmp_path / "a.log", max_bytes=1_000, max_age_s=1e9, kept=50, total_max_bytes=3_000)
    for _ in range(30):
        sink.write(os.urandom(450).hex().encode())
        sink._packer and sink._packer.join()
    sink.close()
    packed = sorted(tmp_path.glob("*.gz"))
    assert 1 <= len(packed) < 6
    assert sum(file.stat().st_size for file in packed) <= 3_000
    old = tmp_path / "a.log.1.gz"
    os.utime(old, (1, 1))
    again = RotatingSink(tmp_path / "a.log", max_bytes=1_000, max_age_s=1e9, kept=50, kept_max_age_s=3_600)
    for _ in range(4):
        again.write(b"x" * 600)
        again._packer and again._packer.join()
    again.close()
    assert min(file.stat().st_mtime for file in tmp_path.glob("*.gz")) > 1


def test_a_file_that_was_moved_away_is_written_anew_after_reopen(tmp_path):
    sink = RotatingSink(tmp_path / "a.log", max_bytes=1_000, max_age_s=1e9, kept=2)
    sink.write(b"one")
    (tmp_path / "a.log").rename(tmp_path / "moved")
    sink.reopen()
    sink.write(b"two")
    sink.close()
    assert (tmp_path / "a.log").read_bytes() == b"two\n"


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=40) | st.integers() | st.none(), max_size=5))
def test_the_quick_look_never_lets_a_secret_by(values):
    """Whatever the closer look would take out, the quick one must ask for."""
    event = {"event": "x", **values}
    line = json.dumps(event, ensure_ascii=False)
    if redact(None, "info", event) != event:
        assert may_tell(event, line)


@pytest.mark.parametrize("secret", SECRETS)
def test_the_quick_look_sees_every_kind_of_secret(secret):
    event = {"event": "x", "text": f"a {secret} b"}
    assert may_tell(event, json.dumps(event))
    assert not may_tell({"event": "x", "tokens": 5}, '{"event":"x"}')


def test_in_the_systems_journal_what_is_grave_stands_under_its_severity(tmp_path, monkeypatch, capfd):
    at = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{at.st_dev}:{at.st_ino}")
    made = configure(LogSettings(), tmp_path)
    handlers = list(logging.getLogger().handlers)
    try:
        log = structlog.get_logger()
        log.info("ordinary")
        log.warning("worse")
        log.error("bad")
        logging.getLogger("library").error("foreign")
    finally:
        made.close()
        structlog.reset_defaults()
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
    said = capfd.readouterr().err.splitlines()
    assert [line[:3] for line in said] == ["<4>", "<3>", "<3>"]
    assert [json.loads(line[3:])["event"] for line in said] == ["worse", "bad", "library"]
    assert len(records(tmp_path / FILE_NAME)) == 4


def test_elsewhere_standard_error_is_left_alone(log, capfd):
    logger, _ = log
    logger.error("bad")
    assert capfd.readouterr().err == ""
