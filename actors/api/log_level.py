"""The log's levels over the control socket: read, and changed while the daemon runs. Never over TCP."""

from aiohttp import web

from actors.log.levels import ALL, Levels

from .headers import HEADERS

PATH = "/v1/log/level"


def routes(levels: Levels) -> list[web.RouteDef]:
    """GET says actor -> level; PUT takes {"level": LEVEL, "actor": NAME}, without a name for all others."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response({"levels": levels.now()}, headers=HEADERS)

    async def change(request: web.Request) -> web.Response:
        try:
            asked = await request.json()
            levels.change(str(asked["level"]), str(asked.get("actor") or ALL))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400, headers=HEADERS)
        return await show(request)

    return [web.get(PATH, show), web.put(PATH, change)]
