"""Light agents on one reference master: real sockets, real handshakes, real signatures, no daemon behind them.

The master is a process of its own; the agents are one loop in this process. What is measured is the master.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import multiprocessing
import os
import resource
import secrets
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.link.reconnect import Reconnect
from actors.link.transport import PATH, Connection, open_socket
from benchmarks.harness import NotMeasuredError, say
from benchmarks.procfs import cpu_seconds, pss_mib
from config.link import LinkSettings
from protocol.agent_session import AgentFacts, AgentSession, Established, Send
from protocol.channel import Received
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keys import KeyPair
from protocol.messages.control import GoAway, Heartbeat
from protocol.tokens import assertion
from tests.bed.ports import free_port

HEARTBEAT_S = 10.0
WARM = 20
"""Sessions that stand before the memory is looked at first: what the master imports and caches is not an agent's."""
UP_S = 60.0
START_S = 30.0
COME_S = 8.0
SETTLE_S = 12.0
"""Longer than one heartbeat: every session has said something before the memory is looked at."""
CPU_S = 20.0


def settings(ca_file: Path | None = None) -> LinkSettings:
    """How patient an agent is, as it is shipped."""
    return LinkSettings(masters=("https://127.0.0.1",), ca_file=ca_file)


def make_world(folder: Path, agents: int) -> list[tuple[str, KeyPair]]:
    """Keys, certificates and a book with so many enrolled agents."""
    from actors.master.book import AgentRow, TokenRow
    from actors.master.certs import make_authority, make_server_certificate
    from actors.master.keys import make_keys
    from actors.master.server import BOOK_FILE
    from actors.master.sqlite_book import SqliteBook

    make_keys(folder, now_ms())
    now = dt.datetime.now(dt.UTC)
    make_authority(folder, now)
    make_server_certificate(folder, ("127.0.0.1",), now)
    book = SqliteBook(folder / BOOK_FILE)
    book.add_token(TokenRow(b"t" * 8, b"m" * 32, now_ms() + 60_000, agents, ""))
    made = []
    for number in range(agents):
        key = KeyPair.from_seed(hashlib.sha256(f"agent {number}".encode()).digest())
        agent_id = f"{number:032x}"
        book.enrol(AgentRow(agent_id, key.public, None, now_ms(), "active", 0, 0), b"t" * 8)
        made.append((agent_id, key))
    book.close()
    return made


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


# -- the master ----------------------------------------------------------------------------------------------


@contextmanager
def master(folder: Path, port: int, *, tls: bool):
    """A master's process; its process, once it listens."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_master, args=(folder, port, tls, theirs), daemon=True)
    process.start()
    try:
        if not mine.poll(START_S):
            raise NotMeasuredError("the master", f"it did not start within {START_S:.0f} s", "look at its output")
        mine.recv()
        yield process
    finally:
        process.terminate()
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()


def _master(folder: Path, port: int, tls: bool, pipe) -> None:  # arguments of a process are positional
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(_serving(folder, port, pipe, tls=tls))


async def _serving(folder: Path, port: int, pipe, *, tls: bool) -> None:
    from actors.master import server

    task = asyncio.create_task(server.serve(folder, "127.0.0.1", port) if tls else _plain(folder, port))
    socket = folder / server.SOCKET_FILE if tls else folder / "plain.ready"
    while not socket.exists() or not _listens(port):
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    pipe.send(time.monotonic())
    await task


def _listens(port: int) -> bool:
    """Whether this process listens there, without connecting."""
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        for line in Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    )


async def _plain(folder: Path, port: int) -> None:
    """The same endpoint without TLS, as it is behind a proxy that ends it."""
    import signal

    from aiohttp import web

    from actors.master.endpoint import PATH as DOOR
    from actors.master.endpoint import Endpoint
    from actors.master.keys import load_keys
    from actors.master.server import BOOK_FILE
    from actors.master.service import Master
    from actors.master.sqlite_book import SqliteBook

    made = Master(load_keys(folder), SqliteBook(folder / BOOK_FILE), f"127.0.0.1:{port}")
    endpoint = Endpoint(made, frozenset())
    app = web.Application()
    app.add_routes([web.get(DOOR, endpoint.handle)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1_024, reuse_address=True)
    await site.start()
    (folder / "plain.ready").touch()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await site.stop()
    await endpoint.close()
    await runner.cleanup()
    await made.close()


# -- the agents ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Light:
    """One agent: a key and, while it stands, a session."""

    fleet: "Fleet"
    agent_id: str
    key: KeyPair
    rules: Reconnect
    session: AgentSession | None = None
    connection: Connection | None = None
    up: bool = False
    instance: str = field(default_factory=lambda: secrets.token_hex(8))

    async def live(self, first_s: float) -> None:
        """Connect, beat, come back when the session ends; until cancelled."""
        await asyncio.sleep(first_s)
        while True:
            begun, stood = time.monotonic(), False
            try:
                await self._stand()
                stood = True
                await self.connection.ended()
            except ConnectionRefusedError:
                self.fleet.absent += 1
            except Exception as error:  # noqa: BLE001  # whatever it was, it is counted
                if not stood and begun >= self.fleet.counts_from:
                    self.fleet.failed.append(f"{type(error).__name__}: {error}"[:120])
            finally:
                if self.connection is not None:
                    self.connection.abort()
            if self.up:
                self.up = False
                self.fleet.standing -= 1
            self.rules.ended(time.monotonic() - begun) if stood else self.rules.failed()
            await asyncio.sleep(self.rules.delay_s(self.fleet.rng, slow=False))

    async def _stand(self) -> None:
        fleet = self.fleet
        token = assertion(
            self.key, self.agent_id, f"127.0.0.1:{fleet.port}{PATH}", now_ms() // 1000, secrets.token_hex(8)
        )
        scheme = "wss" if fleet.tls else "ws"
        url = f"{scheme}://127.0.0.1:{fleet.port}{PATH}"
        async with asyncio.timeout(10.0):
            self.connection = await open_socket(url, fleet.tls, {"Authorization": f"Bearer {token}"}, 10.0)
            facts = AgentFacts("boot", self.instance, self.connection.certificate_sha256, 0)
            keys = fleet.keys
            self.session = AgentSession(self.agent_id, self.key, keys.keyset, keys.roots, facts)
            await self.connection.send(self.session.hello(secrets.token_bytes(32), now_ms()))
            for event in self.session.receive(await self.connection.receive(), now_ms()):
                if isinstance(event, Send):
                    await self.connection.send(event.frame)
                elif isinstance(event, Established):
                    self.connection.deliver(self._take)
        # The first message that verifies shows that the master has taken the auth.
        self.beat()

    def _take(self, frame: bytes) -> None:
        for event in self.session.receive(frame, now_ms()):
            if isinstance(event, Received):
                self.fleet.answers += 1
                if isinstance(event.message, GoAway):
                    self.rules.asked(event.message.after_ms / 1000, event.message.spread_ms / 1000)
            if not self.up:
                self.up = True
                self.fleet.standing += 1
                self.fleet.last_up = time.monotonic()

    def beat(self) -> None:
        """One heartbeat, as the link's loop sends it."""
        at_ms = now_ms()
        message_id = uuid7(at_ms, os.urandom(RANDOM_BYTES))
        self.session.channel.put(Heartbeat(at_ms=at_ms), at_ms=at_ms, message_id=message_id, ack=0)
        while (frame := self.session.channel.frame()) is not None:
            self.connection.write(frame)


class Fleet:
    """All agents in one loop."""

    def __init__(self, folder: Path, agents: list[tuple[str, KeyPair]], port: int, *, tls: bool) -> None:
        from actors.master.keys import load_keys

        self.keys, self.port, self.rng = load_keys(folder), port, Random(1)
        self.tls = _trusting(folder) if tls else None
        shipped = settings()
        self.agents = [Light(self, agent_id, key, Reconnect(shipped)) for agent_id, key in agents]
        self.standing = self.absent = self.answers = 0
        self.last_up = self.counts_from = 0.0
        self.failed: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def come(self, agents: list[Light], within_s: float) -> None:
        """These agents connect, spread over that time."""
        self._tasks += [asyncio.create_task(agent.live(self.rng.uniform(0.0, within_s))) for agent in agents]

    async def until_up(self, count: int) -> None:
        """Until so many sessions stand; NotMeasuredError when they do not."""
        end = time.monotonic() + UP_S
        while self.standing < count:
            if time.monotonic() > end:
                why = f"{self.standing} of {count} sessions stand after {UP_S:.0f} s; {self.failed[:3]}"
                raise NotMeasuredError("the fleet", why, "close other work on this machine")
            await asyncio.sleep(0.05)

    async def beat(self, for_s: float) -> None:
        """Every agent beats each ten seconds, evenly spread."""
        step, begun, number = HEARTBEAT_S / len(self.agents), time.monotonic(), 0
        while (now := time.monotonic()) - begun < for_s:
            while begun + number * step <= now:
                agent = self.agents[number % len(self.agents)]
                if agent.up:
                    agent.beat()
                number += 1
            await asyncio.sleep(0.01)

    async def leave(self) -> None:
        """Every agent goes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


# -- what is measured ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one master with one fleet."""

    agent_kib: float
    cpu_percent: float
    reconnect_s: float
    reconnect_failed: int


def measure(folder: Path, count: int, *, tls: bool) -> Figures:
    """Memory and processor time with a standing fleet, then the time until all are back after a restart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        raise NotMeasuredError("the fleet", f"this process may open {hard} files", "raise the limit: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1_000)), hard))
    return asyncio.run(_measure(folder, count, tls=tls))


async def _measure(folder: Path, count: int, *, tls: bool) -> Figures:
    agents, port = make_world(folder, count + WARM), free_port()
    fleet = Fleet(folder, agents, port, tls=tls)
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(master(folder, port, tls=tls))
        fleet.come(fleet.agents[:WARM], 0.1)
        await fleet.until_up(WARM)
        await asyncio.sleep(1.0)
        before = pss_mib([process.pid])
        fleet.come(fleet.agents[WARM:], COME_S)
        await fleet.until_up(count + WARM)
        await fleet.beat(SETTLE_S)
        kib = (pss_mib([process.pid]) - before) * 1024 / count
        used = cpu_seconds([process.pid])
        await fleet.beat(CPU_S)
        percent = (cpu_seconds([process.pid]) - used) / CPU_S * 100
        say(f"{count} agents, {'TLS' if tls else 'plain'}: {kib:.1f} KiB each, {percent:.1f} % of a core")
        fleet.failed.clear()
        fleet.counts_from = float("inf")  # an attempt that meets the old master's end is no failure of the new one
        await loop.run_in_executor(None, stack.close)
        (folder / "plain.ready").unlink(missing_ok=True)
        again = contextlib.ExitStack()
        await loop.run_in_executor(None, lambda: again.enter_context(master(folder, port, tls=tls)))
        try:
            fleet.counts_from = begun = time.monotonic()
            await fleet.until_up(count + WARM)
            back_s = max(0.0, fleet.last_up - begun)
            failed = list(fleet.failed)
        finally:
            await fleet.leave()
            await loop.run_in_executor(None, again.close)
    if failed:
        say(f"failed handshakes: {failed[:5]}")
    return Figures(kib, percent, back_s, len(failed))
