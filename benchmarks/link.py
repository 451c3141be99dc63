"""A signed, verified, validated request and reply beside a bare WebSocket echo, on loopback.

Both ends are `websockets`, the far one in a process of its own; ours adds everything the link does to a message: seal,
cut, verify, decode, validate, on both sides. The request carries 600 bytes, the reply as many.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, contextmanager

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from benchmarks.harness import Result, interleave
from protocol.messages.reports import Event
from tests.fakes.trust import NOW_MS, pair

NAME = "link"
ROUND_TRIPS = 400
IN_FLIGHT = 64
PIPELINED = 2_000
BODY_CHARS = 480
EVENT = Event(event_id="0" * 32, at_ms=1, kind="k", severity="info", subject="s", text="x" * BODY_CHARS)
OPTIONS = {"compression": None, "ping_interval": None, "max_size": 1 << 20}


def run() -> list[Result]:
    """Medians of seven interleaved rounds."""
    with ExitStack() as stack:
        bare, signed = (stack.enter_context(_far_side(mode)) for mode in ("bare", "signed"))
        p50 = interleave({"ours": lambda: _p50(signed, ours=True), "peer": lambda: _p50(bare, ours=False)}, rounds=7)
        rate = interleave({"ours": lambda: _rate(signed, ours=True), "peer": lambda: _rate(bare, ours=False)}, rounds=7)
    ours, peer = rate["ours"].median, rate["peer"].median
    return [
        Result(
            "round_trip_p50_us",
            "us",
            "lower",
            p50["ours"].median,
            peer=p50["peer"].median,
            peer_name="bare_websockets",
            target=3.0,
        ),
        Result("round_trips_per_s", "1/s", "higher", ours, peer=peer, peer_name="bare_websockets", target=0.20),
        Result("round_trips_per_s", "1/s", "higher", ours, target=3_000.0),
    ]


# -- the far side --------------------------------------------------------------------------------------------


@contextmanager
def _far_side(mode: str):
    """A server in a process of its own; its port."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(mode, theirs), daemon=True)
    process.start()
    try:
        if not mine.poll(30):
            raise TimeoutError(f"the far side ({mode}) did not start within 30 s")
        yield mine.recv()
    finally:
        process.terminate()
        process.join(10)


def _serve(mode: str, pipe) -> None:
    asyncio.run(_serving(mode, pipe))


async def _serving(mode: str, pipe) -> None:
    async def echo(socket):
        async for frame in socket:
            await socket.send(frame)

    async def answer(socket):
        master = pair().shake().master
        async for frame in socket:
            found = master.receive(frame)
            reply = master.seal(_reply(found), at_ms=NOW_MS, message_id=b"i" * 16, ack=0)
            await socket.send(reply)

    async with serve(echo if mode == "bare" else answer, "127.0.0.1", 0, **OPTIONS) as server:
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()


def _reply(found):
    """As many bytes back."""
    from protocol.messages.control import KeysetFrame

    del found
    return KeysetFrame(document=b"x" * BODY_CHARS)


# -- the near side -------------------------------------------------------------------------------------------


def _p50(port: int, *, ours: bool) -> float:
    return asyncio.run(_with_socket(port, lambda socket: _one_at_a_time(socket, ours=ours)))


def _rate(port: int, *, ours: bool) -> float:
    return asyncio.run(_with_socket(port, lambda socket: _many_at_a_time(socket, ours=ours)))


async def _with_socket(port: int, work: Callable[..., Awaitable[float]]) -> float:
    async with connect(f"ws://127.0.0.1:{port}", proxy=None, **OPTIONS) as socket:
        return await work(socket)


def _ends(*, ours: bool):
    """(make a request, take a reply) of one side."""
    if not ours:
        frame = b"x" * (len(pair().shake().from_agent(EVENT)))
        return lambda: frame, lambda reply: reply
    agent = pair().shake().agent

    def take(reply):
        # What the agent does with a frame of its master, short of acting on it.
        return agent.channel.open(reply)

    return lambda: agent.seal(EVENT, at_ms=NOW_MS, message_id=b"i" * 16, ack=0), take


async def _one_at_a_time(socket, *, ours: bool) -> float:
    make, take = _ends(ours=ours)
    times = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter()
        await socket.send(make())
        take(await socket.recv())
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


async def _many_at_a_time(socket, *, ours: bool) -> float:
    make, take = _ends(ours=ours)
    begun = time.perf_counter()
    sent = received = 0
    while received < PIPELINED:
        while sent < PIPELINED and sent - received < IN_FLIGHT:
            await socket.send(make())
            sent += 1
        take(await socket.recv())
        received += 1
    return PIPELINED / (time.perf_counter() - begun)
