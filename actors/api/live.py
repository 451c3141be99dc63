"""The doors of the live page and of `top`: the stream, everything at once, and the history of the charts."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from . import page
from .board import Board
from .feed import BOARD_SECTIONS, EVENTS_SHOWN, Feed, encode, joined
from .headers import HEADERS, PAGE_HEADERS
from .history import History, json_of
from .log_tail import LogTail
from .stream import Stream

NAMES_MAX = 256


class Live:
    """Belongs to one loop; `events` may block and is asked in a thread."""

    def __init__(
        self,
        *,
        board: Board,
        history: History,
        status: Callable[[], Any],
        tree: Callable[[], Any],
        events: Callable[[], Any],
        log_file: Path | None,
    ) -> None:
        self._board, self._history, self._status, self._tree, self._read = board, history, status, tree, events
        self.stream = Stream(Feed(board, status, tree, LogTail(log_file)), self._events, HEADERS)
        self._log = structlog.get_logger().bind(actor="api")

    def routes(self) -> list[web.RouteDef]:
        """Its paths."""
        return [
            web.get("/", self._page),
            web.get("/v1/stream", self.stream.handle),
            web.get("/v1/overview", self._overview),
            web.get("/v1/history", self._past),
        ]

    async def _events(self) -> list[dict[str, Any]] | None:
        """The journal's last events; None when it does not answer, which is no reason to show nothing else."""
        try:
            return list(await asyncio.to_thread(self._read))
        except Exception as error:  # noqa: BLE001  # whatever it is, the figures go on
            self._log.debug("events.unread", why=str(error))
            return None

    async def _page(self, _request: web.Request) -> web.Response:
        """The page, with the facts of now for those without scripts."""
        board = self._board
        facts = {name: board.get(name) for name in ("engines", "models", "transfers")}
        facts |= {"status": self._status(), "tree": self._tree(), "snapshot": board.get("snapshot") or {}}
        facts["events"] = await self._events() or []
        return web.Response(text=page.render(facts), content_type="text/html", headers=PAGE_HEADERS)

    async def _overview(self, _request: web.Request) -> web.Response:
        """All sections of the stream in one answer."""
        events = await self._events()
        sections = {name: encode(self._board.get(name)) for name in (*BOARD_SECTIONS, "snapshot")}
        sections |= {"status": encode(self._status()), "tree": encode(self._tree())}
        sections["events"] = encode((events or [])[-EVENTS_SHOWN:])
        return web.Response(text=joined(sections), content_type="application/json", headers=HEADERS)

    async def _past(self, request: web.Request) -> web.StreamResponse:
        """`span` is 15m or 24h; `series` names a few, divided by commas, or all. Missing values are null."""
        span = request.query.get("span", "15m")
        names = frozenset(name for name in request.query.get("series", "").split(",") if name)
        if span not in self._history.spans or len(names) > NAMES_MAX:
            wrong = {"error": f"span is one of {', '.join(self._history.spans)}; series are at most {NAMES_MAX}"}
            return web.json_response(wrong, status=400, headers=HEADERS)
        found = self._history.read(span, names)
        response = web.StreamResponse(headers=HEADERS)
        response.content_type = "application/json"
        await response.prepare(request)
        head = {"span": span, "step_s": found.step_s, "begins_at": found.begins_at, "left_out": found.left_out}
        await response.write(f'{encode(head)[:-1]},"series":{{'.encode())
        comma = ""
        for name, packed in found.series.items():  # one at a time: the loop goes on between them
            await response.write(f"{comma}{encode(name)}:{json_of(packed)}".encode())
            comma = ","
        await response.write(b"}}")
        return response
