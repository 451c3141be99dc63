"""Carries out `engine.logs`: a thread reads, this actor counts what the link has, and ends each stream loudly.

The reader waits while the link has all the chunks that it may have; Docker keeps the log meanwhile, so nothing is
queued here. What the link could not send is told as a gap of the next chunk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog

from actors.facts import EngineFacts, EnginesChanged
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.flag import Flag
from actors.supervision.handle import Handle
from actors.supervision.messages import TaskDone, TaskFailed
from protocol.messages.commands import EngineLogs, EngineLogsStop
from protocol.messages.reports import Failure, LogLines

from .follow import FollowError, Lines

STREAMS_MAX = 4
LINES_MAX = 512
"""Of one chunk."""
FLUSH_S = 0.5
"""Lines wait at most so long for more of them."""
UNSENT_PAUSE_S = 1.0
"""Without a master the log is not run through."""
WAIT_S = 0.1
LAST_S = 10.0
"""How long the last lines may wait for a master."""
REMEMBERED_MAX = 64
Source = Callable[[str, int, bool, Callable[[], bool]], Iterator[bytes]]
"""(container id, last lines, whether to go on, cancelled) -> pieces; an empty one when nothing came for a while."""


@dataclass(slots=True)
class Stream:
    """One stream; its thread and the actor share it, each number is written by one of them."""

    command_id: str
    command: EngineLogs
    container_id: str
    flag: Flag
    given: int = 0
    """Chunks that were given to the link."""
    gone: int = 0
    """Those of them that left it."""
    lost_bytes: int = 0
    """In chunks that were not sent; taken off as it is told."""
    sizes: dict[int, int] = field(default_factory=dict)
    bytes: int = 0
    lines: int = 0


class EngineLogsActor(Actor):
    """See the module."""

    def __init__(self, *, source: Source, journal_handle: Handle, link: Handle) -> None:
        self._source, self._journal, self._link = source, journal_handle, link
        self._engines: dict[str, EngineFacts] = {}
        self._streams: dict[str, Stream] = {}
        self._ended: list[str] = []
        """Commands that are over: told again after a restart of a neighbour they begin nothing."""
        self._log = structlog.get_logger().bind(actor="engine logs")

    def on_start(self) -> object:
        """What an earlier incarnation had begun is begun anew."""
        if self.context.incarnation > 1:
            self._journal.tell(journal.Again(EngineLogs.TYPE))
        return None

    def on_message(self, message: object) -> object:
        """A command, a fact, or news of a stream."""
        match message:
            case journal.Execute(command_id=command_id, command=EngineLogs() as command):
                self._begin(command_id, command)
            case journal.Execute(command_id=command_id, command=EngineLogsStop(stream=stream)):
                if stream in self._streams:
                    self._streams[stream].flag.set()
                self._journal.tell(journal.Outcome(command_id, "done"))
            case journal.BulkGone(stream=stream, sequence=sequence, sent=sent):
                self._gone(stream, sequence, sent=sent)
            case EnginesChanged(engines=engines):
                self._engines = {engine.name: engine for engine in engines}
            case TaskDone(name=command_id):
                self._end(command_id, None)
            case TaskFailed(name=command_id, error=why):
                self._end(command_id, Failure(code="E_LOG", what="the log could not be read", why=why[:1_000]))
            case _:
                self.context.unhandled(message)
        return None

    def _begin(self, command_id: str, command: EngineLogs) -> None:
        if command_id in self._streams or command_id in self._ended:
            return
        engine = self._engines.get(command.name)
        if engine is None or engine.container_id is None:
            why = "there is no such engine" if engine is None else f"it has no container now: {engine.why}"
            self._refuse(command_id, "E_NOT_FOUND", f"the log of {command.name}", why, "see: engine list")
            return
        if len(self._streams) >= STREAMS_MAX:
            self._refuse(command_id, "E_BUSY", f"{STREAMS_MAX} streams are open", "", "end one, then try again")
            return
        stream = Stream(command_id, command, engine.container_id, self.context.flag())
        self._streams[command_id] = stream
        self._journal.tell(journal.Running(command_id))
        self.context.task(command_id, self._read, stream, cancel=stream.flag.set)

    def _refuse(self, command_id: str, code: str, what: str, why: str, do: str) -> None:
        failure = Failure(code=code, what=what, why=why[:1_000], do=do)
        self._journal.tell(journal.Outcome(command_id, "failed", failure))

    def _gone(self, name: str, sequence: int, *, sent: bool) -> None:
        stream = self._streams.get(name)
        if stream is None:
            return
        size = stream.sizes.pop(sequence, 0)
        if not sent:
            stream.lost_bytes += size
        stream.gone += 1

    def _end(self, command_id: str, failure: Failure | None) -> None:
        stream = self._streams.pop(command_id, None)
        if stream is None:
            return
        self._ended = [*self._ended[-REMEMBERED_MAX:], command_id]
        data = {"lines": stream.lines, "bytes": stream.bytes, "gap_bytes": stream.lost_bytes}
        self._journal.tell(journal.Outcome(command_id, "done" if failure is None else "failed", failure, data))

    # -- in the stream's thread ------------------------------------------------------------------------------

    def _read(self, stream: Stream) -> None:
        command, flag, lines = stream.command, stream.flag, Lines()
        end_s = flag.now() + command.limit_s
        waiting: list[str] = []
        flushed_s = flag.now()

        def over() -> bool:
            return flag.is_set() or flag.now() > end_s or stream.bytes >= command.limit_bytes

        try:
            for piece in self._source(stream.container_id, command.lines, command.follow, over):
                stream.bytes += len(piece)
                waiting += lines.take(piece)
                if waiting and (piece == b"" or flag.now() - flushed_s >= FLUSH_S or len(waiting) >= LINES_MAX):
                    waiting, flushed_s = self._send(stream, waiting, over), flag.now()
                if over():
                    break
            waiting += lines.rest()
        except FollowError:
            if not stream.given:
                raise
        last_s = flag.now() + LAST_S
        self._send(stream, waiting, lambda: flag.is_set() or flag.now() > last_s)
        self._give(stream, [], end=True)

    def _send(self, stream: Stream, waiting: list[str], over: Callable[[], bool]) -> list[str]:
        """As many chunks as it takes; waits while the link has all that it may have."""
        while waiting:
            while stream.given - stream.gone >= journal.BULK_CHUNKS:
                if over():
                    return waiting
                stream.flag.wait(WAIT_S)
            if stream.lost_bytes and stream.flag.wait(UNSENT_PAUSE_S):
                return waiting
            count = _fitting(waiting)
            self._give(stream, waiting[:count], end=False)
            waiting = waiting[count:]
        return waiting

    def _give(self, stream: Stream, lines: list[str], *, end: bool) -> None:
        lost, stream.lost_bytes = stream.lost_bytes, 0
        stream.given += 1
        stream.lines += len(lines)
        stream.sizes[stream.given] = lost + sum(len(line) + 1 for line in lines)
        chunk = LogLines(
            stream=stream.command_id,
            sequence=stream.given,
            engine=stream.command.name,
            lines=tuple(lines),
            gap_bytes=lost,
            end=end,
        )
        try:
            self._link.tell(journal.Bulk(chunk, self.context.handle))
        except SupervisionError as error:
            self._log.debug("not_told", why=str(error))
            stream.lost_bytes, stream.gone = stream.sizes.pop(stream.given), stream.gone + 1


def _fitting(lines: list[str]) -> int:
    """How many lines one chunk takes: at least one."""
    size = 0
    for count, line in enumerate(lines[:LINES_MAX]):
        size += len(line.encode()) + 8
        if size > journal.BULK_CHUNK_BYTES and count:
            return count
    return min(len(lines), LINES_MAX)
