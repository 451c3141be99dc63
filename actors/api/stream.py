"""The live stream of the page: server-sent events once a second, while somebody looks.

Every event is a JSON object of the sections that changed; the first one has all. A viewer who reads slowly gets the
newest of each section and not the ones between; one who does not read at all is let go. Nothing runs without viewers.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from .feed import Feed, Frame, encode, joined
from .log_tail import LINES_MAX

TICK_S = 1.0
RETRY_MS = 2_000
VIEWERS_MAX = 8
FULL_RETRY_S = 15
WRITE_S = 10.0
"""A viewer who takes nothing for so long is let go."""
FOREIGN_SITES = ("cross-site", "same-site")

Events = Callable[[], Awaitable[list[dict[str, Any]] | None]]


class _Viewer:
    """What one viewer has still to be told: the newest of each section."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.closed = False
        self._sections: dict[str, str] = {}
        self._lines: deque[Any] = deque(maxlen=LINES_MAX)
        self._left_out = False

    def tell(self, frame: Frame) -> None:
        """Take over what is newer."""
        self._sections.update(frame.sections)
        self._left_out |= frame.left_out or len(self._lines) + len(frame.lines) > LINES_MAX
        self._lines.extend(frame.lines)
        self.wake.set()

    def take(self) -> bytes:
        """Everything to tell, as events; a tick without news still says the time."""
        told, self._sections = {"at": f"{time.time():.3f}"} | self._sections, {}
        text = f"event: facts\ndata: {joined(told)}\n\n"
        if self._lines:
            text += f"event: log\ndata: {encode({'lines': list(self._lines), 'left_out': self._left_out})}\n\n"
            self._lines.clear()
            self._left_out = False
        return text.encode()


class Stream:
    """Belongs to one loop. `headers` go with every answer."""

    def __init__(self, feed: Feed, events: Events, headers: dict[str, str]) -> None:
        self._feed, self._events, self._headers = feed, events, headers
        self._viewers: set[_Viewer] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False
        self._log = structlog.get_logger().bind(actor="api")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One viewer, until it goes or the server ends."""
        if request.headers.get("Sec-Fetch-Site") in FOREIGN_SITES:
            return web.json_response({"error": "not for other sites"}, status=403, headers=self._headers)
        if len(self._viewers) >= VIEWERS_MAX or self._closed:
            return web.json_response(
                {"error": f"{VIEWERS_MAX} viewers are the most"},
                status=503,
                headers=self._headers | {"Retry-After": str(FULL_RETRY_S)},
            )
        viewer = self._admit()
        try:
            return await self._serve(request, viewer)
        finally:
            self._viewers.discard(viewer)
            await self._rest()

    async def close(self) -> None:
        """Let everybody go; called when the server ends."""
        self._closed = True
        self._let_go()
        await self._rest(now=True)

    def _admit(self) -> _Viewer:
        viewer = _Viewer()
        self._viewers.add(viewer)
        if self._ticker is None or self._ticker.done():
            self._feed.begin()
            self._ticker = asyncio.create_task(self._tick(), name="stream")
        else:
            viewer.tell(self._feed.whole())
        return viewer

    async def _serve(self, request: web.Request, viewer: _Viewer) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers | {"X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            await response.write(f"retry: {RETRY_MS}\n\n".encode())
            while not viewer.closed:
                await viewer.wake.wait()
                viewer.wake.clear()
                if not viewer.closed:
                    await asyncio.wait_for(response.write(viewer.take()), WRITE_S)
        if viewer.closed:
            return response
        if request.transport is not None:
            request.transport.abort()  # what it has not read is of no use to anybody
        return response

    async def _tick(self) -> None:
        """A look each second; one that fails lets the viewers go, and the first who comes back begins anew."""
        try:
            while True:
                events = await self._events() if self._feed.wants_events() else None
                frame = self._feed.look(events)
                for viewer in self._viewers:
                    viewer.tell(frame)
                await asyncio.sleep(TICK_S)
        except Exception:  # noqa: BLE001  # a viewer who comes back is the retry
            self._log.exception("stream.failed")
            self._let_go()

    def _let_go(self) -> None:
        for viewer in self._viewers:
            viewer.closed = True
            viewer.wake.set()

    async def _rest(self, *, now: bool = False) -> None:
        """End the ticking with the last viewer."""
        ticker = self._ticker
        if ticker is None or (self._viewers and not now):
            return
        self._ticker = None
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker
        self._feed.end()
