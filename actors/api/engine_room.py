"""One engine at a time, for the local commands: its facts and its black box. Only on the control socket."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from .board import Board
from .headers import HEADERS


class EngineRoom(Protocol):
    """Blocking, within a deadline."""

    def box(self, name: str) -> Any:
        """Its last deaths."""

    def log(self, name: str, lines: int) -> Mapping[str, Any]:
        """Its last lines."""

    def docker(self) -> str:
        """Why Docker does not answer; empty when it does."""


def routes(room: EngineRoom, board: Board) -> list[web.RouteDef]:
    """Under /v1/engines/NAME, and /v1/docker."""

    async def one(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        facts = next((engine for engine in board.get("engines") if engine["name"] == name), None)
        box = await asyncio.to_thread(room.box, name)
        return web.json_response({"engine": facts, "box": box}, headers=HEADERS)

    async def docker(_request: web.Request) -> web.Response:
        return web.json_response({"why": await asyncio.to_thread(room.docker)}, headers=HEADERS)

    return [
        web.get("/v1/engines/{name}", one),
        web.get("/v1/docker", docker),
    ]
