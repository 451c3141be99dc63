"""The lines of log streams on their way to an operator: in memory, bounded, never in the book."""

from collections import OrderedDict, deque
from typing import Any

from protocol.messages.reports import LogLines

STREAMS_MAX = 64
CHUNKS_MAX = 256
"""Of one stream; the oldest are dropped, and the gap is told."""


class Streams:
    """Chunks by stream, each with its sequence."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, tuple[str, deque[LogLines]]] = OrderedDict()

    def open(self, agent_id: str, stream: str) -> None:
        """Somebody asked for this stream; lines of others are not kept."""
        self._streams[stream] = (agent_id, deque(maxlen=CHUNKS_MAX))
        if len(self._streams) > STREAMS_MAX:
            self._streams.popitem(last=False)

    def put(self, agent_id: str, lines: LogLines) -> None:
        """Lines of an agent; dropped unless they are of a stream that was asked of this agent."""
        owner, chunks = self._streams.get(lines.stream, ("", None))
        if chunks is not None and owner == agent_id:
            chunks.append(lines)

    def after(self, stream: str, sequence: int) -> dict[str, Any] | None:
        """The chunks behind that one; None for a stream that nobody asked for."""
        if stream not in self._streams:
            return None
        chunks = [chunk for chunk in self._streams[stream][1] if chunk.sequence > sequence]
        missed = chunks[0].sequence - sequence - 1 if chunks else 0
        shown = [
            {"sequence": chunk.sequence, "lines": list(chunk.lines), "gap_bytes": chunk.gap_bytes, "end": chunk.end}
            for chunk in chunks
        ]
        return {"stream": stream, "chunks": shown, "missed_chunks": missed}
