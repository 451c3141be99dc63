"""The local HTTP server: a unix socket for commands, a loopback port for people and scrapers that only reads."""

import asyncio
import base64
import contextlib
import hmac
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from actors.log.levels import Levels
from config.api import ApiSettings

from . import log_level, static_files
from .board import Board, Reader
from .control_socket import open_socket
from .desk import Desk
from .engine_log import PATH as ENGINE_LOG_PATH
from .engine_log import EngineLog, Source
from .engine_room import EngineRoom
from .engine_room import routes as engine_routes
from .exposition import render
from .headers import HEADERS
from .history import History
from .live import Live
from .readiness import readiness

CLIENT_MAX_BYTES = 65_536
SHUTDOWN_S = 1.0
"""So long may an answer under way keep the server from ending."""
OPENAPI = Path(__file__).with_name("openapi.json")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Readers:
    """What the server may ask of others, each at once or within a deadline."""

    tree: Reader
    events: Reader
    healthy: Callable[[], bool]
    history: History = field(default_factory=History)
    """Outlives the actor, so that a restart leaves no hole in the charts."""
    log_file: Path | None = None
    """Whose last lines the page shows; None: it shows none."""
    engine_log: Source | None = None
    """An engine's log; None: there is none to be had."""
    engine: EngineRoom | None = None
    """One engine at a time, for the local commands."""
    levels: Levels | None = None
    """Of the log; None: they cannot be changed."""
    desk: Desk | None = None
    """Takes commands, on the control socket only."""


class ApiServer:
    """`run` in a thread until `stop`."""

    def __init__(self, settings: ApiSettings, run_dir: Path, board: Board, readers: Readers) -> None:
        self._settings, self._run_dir, self._board, self._readers = settings, run_dir, board, readers
        self._token = settings.token_file.read_text(encoding="ascii").strip() if settings.token_file else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._wanted_down = threading.Event()
        self.address: str | None = None
        """`http://HOST:PORT` once it serves over TCP."""

    def run(self, ready: Callable[[], None]) -> None:
        """Serve; `ready` is called when both doors are open."""
        asyncio.run(self._main(ready))

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        self._wanted_down.set()
        loop, stopped = self._loop, self._stopped
        if loop is not None and stopped is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)

    async def _main(self, ready: Callable[[], None]) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        live = self._live()
        async with contextlib.AsyncExitStack() as stack:
            inner = self._app([], live)
            if self._readers.engine is not None:
                inner.add_routes(engine_routes(self._readers.engine, self._board))
            if self._readers.levels is not None:
                inner.add_routes(log_level.routes(self._readers.levels))
            if self._readers.desk is not None:
                inner.add_routes(self._readers.desk.routes())
            local = await _runner(stack, inner)
            await open_socket(stack, local, self._run_dir)
            if self._settings.enabled:
                public = await _runner(stack, self._app([self._guard()], live))
                await web.TCPSite(public, str(self._settings.address), self._settings.port).start()
                host, port = public.addresses[0][:2]
                self.address = f"http://{host}:{port}"
            stack.push_async_callback(live.stream.close)
            ready()
            if not self._wanted_down.is_set():
                await self._stopped.wait()

    def _live(self) -> Live:
        readers = self._readers
        return Live(
            board=self._board,
            history=readers.history,
            status=self._status,
            tree=readers.tree,
            events=readers.events,
            log_file=readers.log_file if self._settings.show_log else None,
        )

    def _app(self, middlewares: list[Any], live: Live) -> web.Application:
        app = web.Application(client_max_size=CLIENT_MAX_BYTES, middlewares=middlewares)
        readers, board = self._readers, self._board
        app.add_routes(
            [
                web.get("/static/{name}", static_files.serve),
                *live.routes(),
                *self._engine_log(),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/v1/status", _json(self._status)),
                web.get("/v1/tree", _json(readers.tree)),
                web.get("/v1/events", self._events),
                web.get("/v1/engines", _json(lambda: {"engines": board.get("engines")})),
                web.get(
                    "/v1/models", _json(lambda: {"models": board.get("models"), "transfers": board.get("transfers")})
                ),
                web.get("/v1/alerts", _json(lambda: {"alerts": board.get("alerts")})),
                web.get("/v1/metrics", _json(lambda: board.get("snapshot") or {})),
                web.get("/v1/openapi.json", self._openapi),
            ]
        )
        return app

    def _engine_log(self) -> list[web.RouteDef]:
        source = self._readers.engine_log
        last = self._readers.engine.log if self._readers.engine is not None else None
        return [] if source is None else [web.get(ENGINE_LOG_PATH, EngineLog(source, last).handle)]

    # -- doors -----------------------------------------------------------------------------------------------

    async def _healthz(self, _request: web.Request) -> web.Response:
        """Alive: the tree answers and no critical part is overdue. Asks nothing else."""
        good = await asyncio.to_thread(self._readers.healthy)
        return web.json_response({"alive": good}, status=200 if good else 503, headers=HEADERS)

    async def _readyz(self, _request: web.Request) -> web.Response:
        """Ready to serve: each check with its age. The master's absence is a detail, not a failure."""
        board = self._board
        ages = {name: board.age_s(name) for name in ("snapshot", "engines")}
        body = readiness(board.get("snapshot"), ages, board.get("link"), time.time())
        return web.json_response(body, status=200 if body["ready"] else 503, headers=HEADERS)

    async def _metrics(self, _request: web.Request) -> web.Response:
        """Never triggers a collection."""
        text = render(self._board.get("snapshot") or {})
        return web.Response(text=text, content_type="text/plain", headers=HEADERS)

    async def _openapi(self, _request: web.Request) -> web.Response:
        """The document of this API; it is read from disk, since it is asked for rarely."""
        text = await asyncio.to_thread(OPENAPI.read_text, "utf-8")
        return web.Response(text=text, content_type="application/json", headers=HEADERS)

    async def _events(self, _request: web.Request) -> web.Response:
        found = await asyncio.to_thread(self._readers.events)
        return web.json_response({"events": found}, headers=HEADERS)

    def _status(self) -> Mapping[str, Any]:
        board = self._board
        engines = board.get("engines")
        return {
            "agent": board.get("agent"),
            "link": board.get("link"),
            "page": self.address,
            "started_at": board.started_at,
            "alerts": len(board.get("alerts")),
            "engines": len(engines),
            "engines_ready": sum(engine["state"] == "ready" for engine in engines),
        }

    def _guard(self) -> Any:
        """Only hosts that are meant (DNS rebinding), and a token where the address is not loopback."""
        settings, token = self._settings, self._token
        names = {"127.0.0.1", "localhost", "[::1]", str(settings.address)}

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
            if token is None and host not in names:
                return web.json_response({"error": "unknown host"}, status=421, headers=HEADERS)
            if token is not None and not hmac.compare_digest(_given(request).encode(), token.encode()):
                asked = HEADERS | {"WWW-Authenticate": 'Basic realm="MosalamaAgent: the token is the password"'}
                return web.json_response({"error": "token wanted"}, status=401, headers=asked)
            return await handler(request)

        return guard


def _given(request: web.Request) -> str:
    """The token of a program (Bearer), or of a browser, which asks for it as a password (Basic, any name)."""
    kind, _, rest = request.headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return rest
    with contextlib.suppress(ValueError):
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    return ""


async def _runner(stack: contextlib.AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


def _json(read: Reader) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(read(), headers=HEADERS)

    return handler
