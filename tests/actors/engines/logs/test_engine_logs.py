"""Engine logs as streams: from a real Docker, bounded, with every loss told."""

import itertools
import threading

import pytest

from actors.engines.logs.actor import STREAMS_MAX, EngineLogsActor
from actors.engines.logs.follow import FollowError, Lines, follow
from actors.facts import EngineFacts, EnginesChanged
from actors.journal import messages as journal
from protocol.messages.commands import EngineLogs, EngineLogsStop
from tests.bed.idle_image import idle_containers
from tests.bed.processes import wait_until
from tests.fakes.context import FakeContext, FakeHandle

IDS = [f"{number:032x}" for number in range(20)]
TALK = "i=0; while true; do i=$((i+1)); echo out $i; echo err $i >&2; sleep 0.05; done"


@pytest.mark.e2e
def test_a_real_container_is_followed_and_left_when_asked(docker_engine):
    with docker_engine.client() as client, idle_containers(client, 1, ["/bin/busybox", "sh", "-c", TALK]) as (one,):
        wait_until(lambda: b"err 3" in one.logs(), timeout_s=20, what="words")
        taken = b"".join(follow(docker_engine.host, one.id, lines=4, more=False, cancelled=lambda: False))
        assert len(taken.splitlines()) == 4
        assert b"\x00" not in taken
        gone, heard = threading.Event(), b""
        for piece in follow(docker_engine.host, one.id, lines=0, more=True, cancelled=gone.is_set):
            heard += piece
            if heard.count(b"out") >= 3 and heard.count(b"err") >= 3:
                gone.set()
        with pytest.raises(FollowError, match="404"):
            list(follow(docker_engine.host, "0" * 64, lines=1, more=False, cancelled=lambda: False))


def test_no_docker_is_an_error_with_its_reason():
    with pytest.raises(FollowError, match="Docker"):
        list(follow("unix:///nothing/docker.sock", "x", lines=1, more=False, cancelled=lambda: False))


def test_lines_are_whole_escaped_and_split():
    lines = Lines()
    assert lines.take(b"one\r\ntw") == ["one"]
    assert lines.take(b"o\x1b[31m\n\n") == ["two\\x1b[31m", ""]
    assert [len(line) for line in lines.take(b"x" * 9_000 + b"\n")] == [4_000, 4_000, 1_000]
    assert lines.take(b"open") == []
    assert lines.rest() == ["open"]
    assert lines.rest() == []


class Bench:
    """The actor in the test's thread; the link says what becomes of each chunk."""

    def __init__(self, pieces=(), sent=lambda _sequence: True):
        self.journal, self.link = FakeHandle("/journal"), FakeHandle("/link")
        self.pieces, self.asked, self.sent = pieces, [], sent
        self.actor = EngineLogsActor(source=self._source, journal_handle=self.journal, link=self.link)
        self.context = FakeContext(self.actor)
        self.actor.on_start()
        tell = self.link.tell

        def told(message):
            tell(message)
            chunk = message.message
            self.actor.on_message(journal.BulkGone(chunk.stream, chunk.sequence, self.sent(chunk.sequence)))

        self.link.tell = told
        self.actor.on_message(EnginesChanged((EngineFacts("chat", "vllm", "ready", container_id="c1"),)))

    def _source(self, container, lines, more, cancelled):
        self.asked.append((container, lines, more))
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if cancelled():
                return
            yield piece

    def run(self, **command):
        self.actor.on_message(journal.Execute(IDS[1], EngineLogs(name="chat", **command), b""))
        self.context.run_tasks()
        return [message.message for message in self.link.take()]

    def outcomes(self):
        return [message for message in self.journal.take() if isinstance(message, journal.Outcome)]


def test_a_stream_has_every_line_in_order_and_an_end():
    bench = Bench([b"a\nb\n", b"", b"c\nopen"])
    chunks = bench.run(lines=7, follow=True)
    assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert list(itertools.chain(*(chunk.lines for chunk in chunks))) == ["a", "b", "c", "open"]
    assert [chunk.end for chunk in chunks][-2:] == [False, True]
    assert bench.asked == [("c1", 7, True)]
    (outcome,) = bench.outcomes()
    assert (outcome.state, outcome.data["lines"], outcome.data["gap_bytes"]) == ("done", 4, 0)


def test_what_the_link_could_not_send_is_a_gap_of_the_next_chunk(monkeypatch):
    monkeypatch.setattr("actors.engines.logs.actor.UNSENT_PAUSE_S", 0.0)
    bench = Bench([b"first\n", b"", b"second\n", b""], sent=lambda sequence: sequence != 1)
    chunks = bench.run()
    assert [(chunk.lines, chunk.gap_bytes) for chunk in chunks] == [(("first",), 0), (("second",), 6), ((), 0)]


def test_a_stream_ends_at_its_bound():
    bench = Bench([b"0123456789\n"] * 1_000)
    chunks = bench.run(limit_bytes=100)
    assert sum(len(chunk.lines) for chunk in chunks) == 10
    assert chunks[-1].end


def test_a_chunk_fits_the_link():
    bench = Bench([b"\n".join([b"x" * 1_000] * 200) + b"\n"])
    chunks = bench.run()
    assert sum(len(chunk.lines) for chunk in chunks) == 200
    assert max(sum(len(line) for line in chunk.lines) for chunk in chunks) <= journal.BULK_CHUNK_BYTES


def test_what_cannot_be_read_fails_with_its_reason():
    bench = Bench([FollowError("Docker says 404")])
    bench.run()
    (outcome,) = bench.outcomes()
    assert (outcome.state, outcome.error.code) == ("failed", "E_LOG")
    assert "404" in outcome.error.why


def test_an_unknown_engine_and_one_stream_too_many_are_refused():
    bench = Bench([b"a\n"])
    bench.actor.on_message(journal.Execute(IDS[0], EngineLogs(name="other"), b""))
    for number in range(STREAMS_MAX + 1):
        bench.actor.on_message(journal.Execute(IDS[2 + number], EngineLogs(name="chat"), b""))
    assert [outcome.error.code for outcome in bench.outcomes()] == ["E_NOT_FOUND", "E_BUSY"]
    bench.context.run_tasks()


def test_a_stream_is_stopped_by_command_and_a_command_that_comes_again_begins_nothing():
    bench = Bench([b"a\n"])
    bench.actor.on_message(journal.Execute(IDS[1], EngineLogs(name="chat", follow=True), b""))
    bench.actor.on_message(journal.Execute(IDS[1], EngineLogs(name="chat", follow=True), b""))
    assert len(bench.context.tasks) == 1
    bench.actor.on_message(journal.Execute(IDS[2], EngineLogsStop(stream=IDS[1]), b""))
    bench.context.run_tasks()
    bench.actor.on_message(journal.Execute(IDS[1], EngineLogs(name="chat", follow=True), b""))
    assert bench.context.tasks == []
    assert [outcome.command_id for outcome in bench.outcomes()] == [IDS[2], IDS[1]]
