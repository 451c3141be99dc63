"""An engine's log: `/v1/engines/NAME/log?lines=100`, as plain text, or as JSON to whom that is acceptable first.

Plain text is the log of its container, and with `follow=1` goes on as more comes. JSON has the last lines of each of
its containers, the dead ones too: `{"logs": [{"container", "running", "lines"}], "why"}`; it does not go on.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from .headers import HEADERS

PATH = "/v1/engines/{name}/log"
READERS_MAX = 4
LINES_MAX = 10_000
Source = Callable[[str, int, bool, Callable[[], bool]], Iterator[bytes]]
"""(engine, last lines, whether to go on, cancelled) -> pieces, an empty one when nothing came; LookupError, OSError."""

Last = Callable[[str, int], Mapping[str, Any]]
"""(engine, last lines) -> those of each of its containers; blocking, within a deadline."""


class EngineLog:
    """The handler of one server: at most READERS_MAX readers at a time, each with a thread while it reads."""

    def __init__(self, source: Source, last: Last | None = None) -> None:
        self._source, self._last, self._readers = source, last, 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Stream until the log ends, or the reader goes; or answer at once with the last lines."""
        lines, more = request.query.get("lines", "100"), request.query.get("follow", "0") == "1"
        if not lines.isdigit() or int(lines) > LINES_MAX:
            return _refused(400, f"lines is a number up to {LINES_MAX}")
        if self._last is not None and request.headers.get("Accept", "").startswith("application/json"):
            if more:
                return _refused(406, "a log that goes on is plain text")
            answer = await asyncio.to_thread(self._last, request.match_info["name"], int(lines))
            return web.json_response(answer, headers=HEADERS)
        if self._readers >= READERS_MAX:
            return _refused(429, f"{READERS_MAX} readers are here already; end one")
        self._readers += 1
        gone = threading.Event()
        try:
            return await self._stream(request, self._source(request.match_info["name"], int(lines), more, gone.is_set))
        except LookupError as error:
            return _refused(404, str(error.args[0] if error.args else error))
        except OSError as error:
            return _refused(502, str(error))
        finally:
            gone.set()
            self._readers -= 1

    async def _stream(self, request: web.Request, pieces: Iterator[bytes]) -> web.StreamResponse:
        first = await asyncio.to_thread(next, pieces, None)  # what cannot be read is told with a status
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        piece = first
        with contextlib.suppress(ConnectionError):
            while piece is not None:
                if piece:
                    await response.write(piece)
                if request.transport is None or request.transport.is_closing():
                    break
                piece = await asyncio.to_thread(next, pieces, None)
        return response


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status, headers=HEADERS)
