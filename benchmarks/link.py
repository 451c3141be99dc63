"""A signed, verified, validated request and reply beside a bare WebSocket echo; acceptance, a flood, a thousand agents.

Ours is what runs: the agent's connection, and the master's kind of endpoint in a process of its own. The peer is
`websockets` on both ends with its best settings. Requests and replies have 600 bytes.
"""

import asyncio
import multiprocessing
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from actors.link.transport import SUBPROTOCOL, Connection, open_socket
from benchmarks import link_agent, link_fleet
from benchmarks.harness import Result, interleave, repeat, say
from protocol.keys import KeyPair, Purpose, verify
from protocol.messages.control import KeysetFrame
from protocol.messages.reports import Event
from tests.fakes.trust import NOW_MS, pair

NAME = "link"
ROUND_TRIPS = 400
IN_FLIGHT = 64
PIPELINED = 2_000
ROUNDS = 7
FLOODS = 5
AGENTS = 1_000
BODY_CHARS = 480
EVENT = Event(event_id="0" * 32, at_ms=1, kind="k", severity="info", subject="s", text="x" * BODY_CHARS)
REPLY = KeysetFrame(document=b"x" * BODY_CHARS)
OPTIONS = {"compression": None, "ping_interval": None, "max_size": 1 << 20}
PEER = "bare_websockets"


def run() -> list[Result]:
    """Medians of interleaved rounds; the fleet once."""
    return [*_round_trips(), *_agent(), *_fleet()]


def _round_trips() -> list[Result]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        link_fleet.make_world(folder, 1)
        ports = {mode: stack.enter_context(_far_side(mode, folder)) for mode in ("bare", "signed", "tls")}
        trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        say("round trips")
        one = {
            "bare": lambda: asyncio.run(_bare(ports["bare"], _bare_one_at_a_time)),
            "signed": lambda: asyncio.run(_ours(ports["signed"], None, 1, ROUND_TRIPS)),
            "tls": lambda: asyncio.run(_ours(ports["tls"], trust, 1, ROUND_TRIPS)),
        }
        many = {
            "bare": lambda: asyncio.run(_bare(ports["bare"], _bare_many)),
            "signed": lambda: asyncio.run(_ours(ports["signed"], None, IN_FLIGHT, PIPELINED)),
            "signatures": _signatures_per_s,
        }
        p50, rate = interleave(one, rounds=ROUNDS), interleave(many, rounds=ROUNDS)
    bare, ours, peer = p50["bare"].median, rate["signed"].median, rate["bare"].median
    return [
        Result("round_trip_p50_us", "us", "lower", p50["signed"].median, peer=bare, peer_name=PEER, target=3.0),
        Result("round_trips_per_s", "1/s", "higher", ours, peer=peer, peer_name=PEER, target=0.20),
        Result(
            "round_trips_per_s", "1/s", "higher", ours, peer=rate["signatures"].median, peer_name="signatures_alone"
        ),
        Result("round_trips_per_s", "1/s", "higher", ours, target=3_000.0),
        Result("round_trip_tls_p50_us", "us", "lower", p50["tls"].median, peer=bare, peer_name=PEER, target=3.9),
    ]


def _agent() -> list[Result]:
    say("acceptance, and heartbeats in a flood of logs")
    accept = repeat(lambda: _in_folder(link_agent.accept_p50_ms), rounds=FLOODS, warmup=0)
    one = repeat(
        lambda: _in_folder(lambda folder: link_agent.heartbeat_delay_ms(folder, bulk_socket=False)),
        rounds=FLOODS,
        warmup=0,
    )
    two = repeat(
        lambda: _in_folder(lambda folder: link_agent.heartbeat_delay_ms(folder, bulk_socket=True)),
        rounds=FLOODS,
        warmup=0,
    )
    return [
        Result("accept_p50_ms", "ms", "lower", accept.median, target=5.0),
        Result("heartbeat_delay_flood_ms", "ms", "lower", one.median, target=250.0),
        Result("heartbeat_delay_flood_bulk_ms", "ms", "lower", two.median, target=20.0),
    ]


def _fleet() -> list[Result]:
    say(f"{AGENTS} agents on one master, without and with TLS: about two minutes")
    plain = _in_folder(lambda folder: link_fleet.measure(folder, AGENTS, tls=False))
    tls = _in_folder(lambda folder: link_fleet.measure(folder, AGENTS, tls=True))
    return [
        Result("agent_kib", "KiB", "lower", plain.agent_kib, target=25.0),
        Result("agent_tls_kib", "KiB", "lower", tls.agent_kib, target=70.0),
        Result("master_cpu_percent_1000", "%", "lower", tls.cpu_percent, target=8.0),
        Result("reconnect_1000_s", "s", "lower", plain.reconnect_s, target=5.0),
        Result("reconnect_1000_tls_s", "s", "lower", tls.reconnect_s, target=5.0),
        Result("reconnect_failed", "", "lower", float(plain.reconnect_failed + tls.reconnect_failed), target=0.0),
    ]


def _in_folder(measure: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder))


# -- the far side --------------------------------------------------------------------------------------------


@contextmanager
def _far_side(mode: str, folder: Path):
    """A server in a process of its own; its port."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(mode, folder, theirs), daemon=True)
    process.start()
    try:
        if not mine.poll(30):
            raise TimeoutError(f"the far side ({mode}) did not start within 30 s")
        yield mine.recv()
    finally:
        process.terminate()
        process.join(10)


def _serve(mode: str, folder: Path, pipe) -> None:
    asyncio.run(_echoing(pipe) if mode == "bare" else _answering(mode, folder, pipe))


async def _echoing(pipe) -> None:
    async def echo(socket):
        async for frame in socket:
            await socket.send(frame)

    async with serve(echo, "127.0.0.1", 0, **OPTIONS) as server:
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()


async def _answering(mode: str, folder: Path, pipe) -> None:
    """The master's kind of endpoint: aiohttp, the session, one reply for each request."""
    from aiohttp import web

    from actors.master.endpoint import shrink_tls_buffer

    async def door(request):
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL], compress=False)
        await socket.prepare(request)
        master = pair().shake().master
        async for frame in socket:
            for _ in master.receive(frame.data):
                master.channel.put(REPLY, at_ms=NOW_MS, message_id=b"i" * 16, ack=0)
            while (answer := master.channel.frame()) is not None:
                await socket.send_bytes(answer)
        return socket

    shrink_tls_buffer()
    app = web.Application()
    app.add_routes([web.get("/", door)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = None
    if mode == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


# -- the near side -------------------------------------------------------------------------------------------


async def _ours(port: int, tls: ssl.SSLContext | None, window: int, count: int) -> float:
    """Microseconds of the median round trip with one in flight, else round trips a second."""
    scheme = "wss" if tls else "ws"
    connection = await open_socket(f"{scheme}://127.0.0.1:{port}/", tls, {}, 10.0)
    try:
        return await _Requests(connection, window, count).run()
    finally:
        connection.abort()


class _Requests:
    """Keeps `window` requests in flight; each reply is verified and validated and makes room for the next."""

    def __init__(self, connection: Connection, window: int, count: int) -> None:
        self._connection, self._window, self._count = connection, window, count
        self._channel = pair().shake().agent.channel
        self._sent = self._got = 0
        self._begun = 0.0
        self._times: list[float] = []
        self._done = asyncio.get_running_loop().create_future()

    async def run(self) -> float:
        self._connection.deliver(self._replies)
        begun = time.perf_counter()
        self._ask()
        await self._done
        if self._window == 1:
            return statistics.median(self._times) * 1e6
        return self._count / (time.perf_counter() - begun)

    def _ask(self) -> None:
        """What may be asked now leaves together, as what waits in the link's lanes does."""
        self._begun = time.perf_counter()
        while self._sent < self._count and self._sent - self._got < self._window:
            self._sent += 1
            self._channel.put(EVENT, at_ms=NOW_MS, message_id=b"i" * 16, ack=0)
        while (frame := self._channel.frame()) is not None:
            self._connection.write(frame)

    def _replies(self, frame: bytes) -> None:
        # What the agent does with a frame of its master, short of acting on it.
        self._got += len(self._channel.open(frame))
        self._times.append(time.perf_counter() - self._begun)
        if self._got == self._count:
            self._done.set_result(None)
        else:
            self._ask()


def _signatures_per_s() -> float:
    """What one core on each side could do at most if each request and reply had a signature of its own.

    Each side signs one and verifies one for a round trip. Messages that leave together share a signature, so the link
    with many in flight is beyond this.
    """
    keys, bind, body = KeyPair.from_seed(b"s" * 32), b"b" * 32, b"x" * len(pair().shake().from_agent(EVENT))
    begun = time.perf_counter()
    for _ in range(PIPELINED):
        verify(keys.public, Purpose.TO_MASTER, bind, body, keys.sign(Purpose.TO_MASTER, bind, body))
    return PIPELINED / (time.perf_counter() - begun)


async def _bare(port: int, work) -> float:
    frame = b"x" * len(pair().shake().from_agent(EVENT))
    async with connect(f"ws://127.0.0.1:{port}", proxy=None, **OPTIONS) as socket:
        return await work(socket, frame)


async def _bare_one_at_a_time(socket, frame: bytes) -> float:
    times = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter()
        await socket.send(frame)
        await socket.recv()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


async def _bare_many(socket, frame: bytes) -> float:
    begun = time.perf_counter()
    sent = received = 0
    while received < PIPELINED:
        while sent < PIPELINED and sent - received < IN_FLIGHT:
            await socket.send(frame)
            sent += 1
        await socket.recv()
        received += 1
    return PIPELINED / (time.perf_counter() - begun)
