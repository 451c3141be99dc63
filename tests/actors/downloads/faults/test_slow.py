"""What is slow gives its place to others, but not for ever: a transfer goes on, or ends with a reason."""

import random
import threading
from contextlib import suppress

import pytest

from actors.downloads.bodies import engine, watch
from actors.downloads.bodies.api import Cancelled
from actors.downloads.bodies.partial import PartialFile
from actors.downloads.bodies.worker import Worker
from actors.downloads.errors import DownloadError
from tests.actors.downloads.faults.conftest import BLOCK, BODY

RATE = 1 << 20
"""Bytes a second of one connection."""
QUICK = random.Random(9).randbytes(48 << 20)


@pytest.fixture
def impatient(monkeypatch):
    """What takes 5 s and 1 s for users."""
    monkeypatch.setattr(watch, "SLOW_AFTER_S", 0.5)
    monkeypatch.setattr(watch, "SLOW_AT_END_S", 0.1)
    monkeypatch.setattr(watch, "REST_S", 0.1)


def test_a_stream_is_not_begun_again_beside_a_quick_file(bench, impatient):
    slow, quick = bench.origin("norange", rate=RATE), bench.origin(body=QUICK, rate=24 * RATE)
    bench.bring(bench.file(slow.url), bench.file(quick.url, body=QUICK, name="quick.bin"))
    assert bench.read() == BODY
    assert slow.sent <= 1.5 * len(BODY)


def test_answers_that_begin_late_are_waited_for_in_the_end(bench, several, impatient):
    origin = bench.origin("late=800")
    bench.bring(bench.file(origin.url), settings=bench.settings(read_timeout_s=10.0))
    assert bench.read() == BODY


def test_a_server_that_falls_silent_is_given_up(bench, several, impatient):
    origin = bench.origin(f"hush={len(BODY) // 2}")
    with pytest.raises(DownloadError, match="broke"):
        bench.bring(bench.file(origin.url), settings=bench.settings(read_timeout_s=1.0, tries=2))


def test_a_slow_disk_is_no_reason_to_leave_a_connection(bench, monkeypatch):
    body, left, never = QUICK[: 24 * BLOCK], [], threading.Event()

    def write(file, view, at, real=PartialFile.write):
        never.wait(0.4)
        real(file, view, at)

    def kill(worker, rest_s=0.0, blame=False, real=Worker.kill):
        left.extend([rest_s] if rest_s else [])
        real(worker, rest_s=rest_s, blame=blame)

    monkeypatch.setattr(watch, "SLOW_AFTER_S", 0.3)
    monkeypatch.setattr(watch, "SLOW_AT_END_S", 0.3)
    monkeypatch.setattr(engine, "WRITERS", 1)
    monkeypatch.setattr(PartialFile, "write", write)
    monkeypatch.setattr(Worker, "kill", kill)
    origin = bench.origin(body=body)
    bench.bring(bench.file(origin.url, body=body), settings=bench.settings(read_timeout_s=10.0))
    assert bench.read() == body
    assert not left


def test_a_pause_takes_the_connections_also_while_the_cap_holds_them_back(bench):
    """Who waits for the cap is not judged, and is told to stop all the same."""
    origin, resting = bench.origin(body=QUICK), threading.Event()

    def tell(progress):
        if not bench.control.paused:
            bench.control.pause()
        elif not progress.connections:
            resting.set()
            bench.control.resume()

    bench.tell = tell

    def bring():
        with suppress(Cancelled):
            bench.bring(bench.file(origin.url, body=QUICK), settings=bench.settings(rate_max_bytes_s=RATE // 16))

    brings = threading.Thread(target=bring)
    brings.start()
    try:
        assert resting.wait(10)
    finally:
        bench.control.cancel()
        brings.join()
