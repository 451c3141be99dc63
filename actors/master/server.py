"""Runs a master: one TLS port for enrollment, links and side doors, one unix socket for the operator.

SIGHUP reads the certificate, the authority of client certificates and the keyset again; no session ends by it.
"""

import asyncio
import contextlib
import resource
import signal
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from config.log import LogSettings
from protocol.errors import ProtocolError

from .bulk import PATH as BULK_PATH
from .bulk import BulkDoor
from .certs import CERTIFICATE_FILE, KEY_FILE
from .doors import Doors, listen
from .endpoint import PATH, Endpoint, certificate_digest, shrink_tls_buffer
from .enrolment import Enrolment
from .keys import load_keys
from .rest import ENROL_MAX_BYTES, agent_routes, operator_app
from .service import Master, now_ms
from .sqlite_book import SqliteBook

BOOK_FILE = "book.sqlite"
SOCKET_FILE = "operator.sock"
SHUTDOWN_S = 5.0
KEYSET_LOOK_S = 3_600.0
HEARD_S = 10.0
"""Between two writes of when agents were heard."""
KEYSET_WARN_DAYS = 30.0
OPEN_FILES_MAX = 1 << 20
"""What the kernel allows unless told otherwise (fs.nr_open)."""


async def serve(directory: Path, host: str, port: int, client_ca: Path | None = None) -> None:
    """Until SIGTERM or SIGINT. With `client_ca` every agent needs a certificate of that authority."""
    shrink_tls_buffer()
    files = allow_open_files()
    master = Master(load_keys(directory), SqliteBook(directory / BOOK_FILE), f"{host}:{port}")
    tls = _Tls(directory, client_ca)
    endpoint, enrolment = Endpoint(master, frozenset({tls.digest})), Enrolment(master)
    public = web.Application(client_max_size=ENROL_MAX_BYTES)
    public.add_routes([*agent_routes(master, enrolment, endpoint.admission), web.get(PATH, endpoint.handle)])
    public.add_routes([web.get(BULK_PATH, BulkDoor(master, endpoint).handle)])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(master.close)
        runner = await _runner(stack, public)
        operator = await _runner(stack, operator_app(master, enrolment, directory))
        stack.push_async_callback(endpoint.close)
        socket = directory / SOCKET_FILE
        socket.unlink(missing_ok=True)
        await web.UnixSite(operator, str(socket)).start()
        socket.chmod(0o600)
        await _open(stack, runner, endpoint, tls.context, host, port)
        _background(stack, watch_keyset(master))
        _background(stack, _keep_heard(master))
        _background(stack, endpoint.watch())
        _on_hangup(lambda: _reload(directory, master, endpoint, tls))
        structlog.get_logger().info("serving", actor="master", host=host, port=port, open_files=files)
        await _until_stopped()


async def _open(
    stack: contextlib.AsyncExitStack,
    runner: web.AppRunner,
    endpoint: Endpoint,
    context: ssl.SSLContext,
    host: str,
    port: int,
) -> None:
    """The TLS port, with a bound on who has not shown who he is."""
    assert runner.server is not None
    listening = listen(host, port)
    stack.callback(listening.close)
    endpoint.doors = Doors(runner.server, context, endpoint.audit)
    stack.push_async_callback(endpoint.doors.close)
    _background(stack, endpoint.doors.serve(listening))


async def _keep_heard(master: Master) -> None:
    while True:
        await asyncio.sleep(HEARD_S)
        await master.keep_heard()


def _background(stack: contextlib.AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


async def _runner(stack: contextlib.AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


class _Tls:
    """One context for the life of the process; a certificate that is loaded into it is shown to who comes next."""

    def __init__(self, directory: Path, client_ca: Path | None) -> None:
        self._directory, self._client_ca = directory, client_ca
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.num_tickets = 0  # no agent resumes: they would be memory and work for nothing
        if client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.digest = b""
        self.load()

    def load(self) -> bytes:
        """The certificate's digest, once it and the authority of clients are in use; ssl.SSLError or OSError."""
        certificate = self._directory / CERTIFICATE_FILE
        digest = certificate_digest(certificate.read_text())
        self.context.load_cert_chain(certificate, self._directory / KEY_FILE)
        if self._client_ca is not None:
            self.context.load_verify_locations(self._client_ca)
        self.digest = digest
        return digest


def _reload(directory: Path, master: Master, endpoint: Endpoint, tls: _Tls) -> None:
    """What is wrong with the new files is said; the old ones go on."""
    log = structlog.get_logger().bind(actor="master")
    try:
        endpoint.certificates |= {tls.load()}
        version = master.reload_keys(directory)
    except (OSError, ValueError, ProtocolError) as error:
        log.error("reload.refused", why=str(error))  # noqa: TRY400  # the file is wrong, not the code
    else:
        log.info("reloaded", keyset_version=version)


async def watch_keyset(master: Master) -> None:
    """Say loudly, each day, that the keyset will expire: without it no command is taken any more."""
    told: int | None = None
    while True:
        left = master.keys.days_left(now_ms())
        if left < KEYSET_WARN_DAYS and told != int(left):
            told = int(left)
            say = "has expired: agents take no command" if left <= 0 else f"expires in {left:.1f} days"
            text = f"the keyset {say}; renew it: mosalama-master keyset renew"
            await master.alarm("", "master.keyset_expires", text, "critical" if left <= 7 else "warning")
        await asyncio.sleep(KEYSET_LOOK_S)


def allow_open_files() -> int:
    """As many open files as this process may have (each agent is one or two); how many that is.

    The soft limit is 1,024 on most systems, for programs that use select(); the hard one is what an operator set.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _on_hangup(act: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


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
