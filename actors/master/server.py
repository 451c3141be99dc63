"""Runs a master: one TLS port for enrollment and links, one unix socket for the operator."""

import asyncio
import contextlib
import signal
import ssl
from pathlib import Path

import structlog
from aiohttp import web

from config.log import LogSettings

from .certs import CERTIFICATE_FILE, KEY_FILE
from .endpoint import PATH, Endpoint, certificate_digest, shrink_tls_buffer
from .keys import load_keys
from .rest import ENROL_MAX_BYTES, enrollment_routes, operator_app
from .service import Master, now_ms
from .sqlite_book import SqliteBook

BOOK_FILE = "book.sqlite"
SOCKET_FILE = "operator.sock"
SHUTDOWN_S = 5.0


async def serve(directory: Path, host: str, port: int) -> None:
    """Until SIGTERM or SIGINT."""
    shrink_tls_buffer()
    keys = load_keys(directory, now_ms())
    master = Master(keys, SqliteBook(directory / BOOK_FILE), f"{host}:{port}")
    pem = (directory / CERTIFICATE_FILE).read_text()
    endpoint = Endpoint(master, frozenset({certificate_digest(pem)}))
    public = web.Application(client_max_size=ENROL_MAX_BYTES)
    public.add_routes([*enrollment_routes(master), web.get(PATH, endpoint.handle)])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(master.close)
        runner = await _runner(stack, public)
        operator = await _runner(stack, operator_app(master))
        stack.push_async_callback(endpoint.close)
        await web.TCPSite(runner, host, port, ssl_context=_tls(directory), reuse_address=True).start()
        socket = directory / SOCKET_FILE
        socket.unlink(missing_ok=True)
        await web.UnixSite(operator, str(socket)).start()
        socket.chmod(0o600)
        structlog.get_logger().info("serving", actor="master", host=host, port=port)
        await _until_stopped()


async def _runner(stack: contextlib.AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


def _tls(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    return context


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def configure_log(settings: LogSettings) -> None:
    """Readable lines on standard error: whoever runs the master decides where they go."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            {"debug": 10, "warning": 30, "error": 40}.get(settings.level, 20)
        ),
        logger_factory=structlog.PrintLoggerFactory(),
    )
