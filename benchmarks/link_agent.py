"""A real link and journal in this process, a scripted master in another: acceptance, and heartbeats in a flood."""

import asyncio
import multiprocessing
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.link.actor import LinkActor
from actors.link.identity import IdentityFiles
from actors.link.loop import LinkLoop
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from benchmarks.harness import NotMeasuredError
from benchmarks.link_fleet import make_world, now_ms
from config.journal import JournalSettings
from config.link import LinkSettings
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.messages.commands import AgentDrain
from protocol.messages.control import CommandFrame, Heartbeat
from protocol.messages.reports import CommandAccepted, Inventory, LogLines
from tests.fakes.link_master import Peer, scripted, serve
from tests.fakes.listener import Listener

COMMANDS = 300
WARM = 20
DRAIN_BYTES_PER_S = 2_000_000
"""How fast the master of the flood consumes logs."""
FLOOD_S = 4.0
HEARTBEAT_S = 0.2
STREAMS = 16
"""Streams that always have as many chunks with the link as they may: more than any socket takes."""
CHUNK_LINES = 60
LINE_CHARS = 500
RESULT_S = 60.0


def accept_p50_ms(folder: Path) -> float:
    """From a command's frame to the frame that acknowledges it: verified, on disk, told, received."""
    return _with_agent(folder, "accept", bulk_socket=False)


def heartbeat_delay_ms(folder: Path, *, bulk_socket: bool) -> float:
    """The longest time from a heartbeat's making to its arrival while logs come without end."""
    return _with_agent(folder, "flood", bulk_socket=bulk_socket, begin=_flood)


def heartbeat_delay_beside_ms(folder: Path, begin: Callable[[], None]) -> float:
    """The same while the work that `begin` starts, and does not wait for, goes on in this process."""
    return _with_agent(folder, "flood", bulk_socket=False, begin=lambda _link: begin())


def _with_agent(
    folder: Path, mode: str, *, bulk_socket: bool, begin: Callable[[Handle], None] = lambda _link: None
) -> float:
    ((agent_id, key),) = make_world(folder, 1)
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_master, args=(folder, mode, agent_id, key.public, theirs), daemon=True)
    process.start()
    try:
        if not mine.poll(RESULT_S):
            raise NotMeasuredError("the link", "the scripted master did not start", "look at its output")
        with _agent(folder, mine.recv(), agent_id, key.seed, bulk_socket=bulk_socket) as link:
            begin(link)
            if not mine.poll(RESULT_S):
                raise NotMeasuredError("the link", f"no figure came within {RESULT_S:.0f} s", "run it alone")
            return mine.recv()
    finally:
        process.terminate()
        process.join(10)


@contextmanager
def _agent(folder: Path, port: int, agent_id: str, seed: bytes, *, bulk_socket: bool):
    """Journal and link in a real tree; the link's handle."""
    from actors.master.keys import load_keys

    state = folder / "agent"
    state.mkdir()
    (state / "agent.key").write_bytes(seed)
    keys, files = load_keys(folder), IdentityFiles(state)
    files.save(agent_id, keys.roots, keys.keyset)
    settings = LinkSettings(
        masters=(f"https://127.0.0.1:{port}",),
        ca_file=folder / "ca.pem",
        heartbeat_s=HEARTBEAT_S,
        first_retry_max_s=0.1,
        bulk_socket=bulk_socket,
    )
    owner = Listener("/owner")
    system = System(
        SupervisorSpec(
            children=(
                ChildSpec(
                    "journal",
                    lambda: JournalActor(
                        file=state / "journal.sqlite",
                        settings=JournalSettings(),
                        routes={"agent": owner},
                        link=system.handle("/root/link"),
                        wall=time.time,
                    ),
                ),
                ChildSpec(
                    "link",
                    lambda: LinkActor(
                        settings=settings,
                        state_dir=state,
                        journal_handle=system.handle("/root/journal"),
                        observers=(),
                        inventory=lambda: Inventory(values={}),
                        conversation=LinkLoop,
                        wall=time.time,
                    ),
                ),
            )
        )
    )
    system.start()
    try:
        yield system.handle("/root/link")
    finally:
        system.stop()


class _Producer:
    """The owner of one stream that never ends: a chunk that went is followed by the next at once."""

    def __init__(self, link, number: int) -> None:
        self.path, self._link = f"/producer/{number}", link
        self._stream, self._sequence = f"{number:032x}", 0
        self._lines = ("x" * LINE_CHARS,) * CHUNK_LINES

    def tell(self, message: object) -> None:
        if isinstance(message, journal.BulkGone):
            if not message.sent:
                time.sleep(0.01)  # there is no session yet, or no more
            self.next()

    def next(self) -> None:
        self._sequence += 1
        chunk = LogLines(stream=self._stream, sequence=self._sequence, engine="engine", lines=self._lines)
        try:
            self._link.tell(journal.Bulk(chunk, self))
        except SupervisionError:
            return  # the agent stops


def _flood(link) -> None:
    for number in range(STREAMS):
        producer = _Producer(link, number)
        for _ in range(journal.BULK_CHUNKS):
            producer.next()


# -- the master ----------------------------------------------------------------------------------------------


def _master(folder: Path, mode: str, agent_id: str, public: bytes, pipe) -> None:
    asyncio.run(_scripted(folder, mode, agent_id, public, pipe))


async def _scripted(folder: Path, mode: str, agent_id: str, public: bytes, pipe) -> None:
    script = scripted(folder, (public,), _listen)

    async def accept(peer: Peer) -> None:
        pipe.send(await _accept(peer, script.keys, agent_id))

    async def flood(peer: Peer) -> None:
        pipe.send(await _listen(peer))

    async def drain(take) -> None:
        while True:
            found = await take()
            await asyncio.sleep(sum(map(len, found.message.lines)) / DRAIN_BYTES_PER_S)

    script.talk, script.bulk = (accept, None) if mode == "accept" else (flood, drain)
    runner, port = await serve(folder, script)
    pipe.send(port)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _accept(peer: Peer, keys, agent_id: str) -> float:
    times = []
    for number in range(1, COMMANDS + WARM + 1):
        command_id = uuid7(now_ms(), secrets.token_bytes(RANDOM_BYTES))
        envelope = keys.sign_command(agent_id, command_id, now_ms(), 60_000, AgentDrain(enabled=True))
        told, begun = False, time.perf_counter()
        await peer.send(CommandFrame(envelope=envelope), offset=peer.has + number)
        while True:
            found, _ = await peer.take()
            peer.ack = max(peer.ack, found.offset or 0)
            told |= isinstance(found.message, CommandAccepted) and found.message.command_id == command_id.hex()
            if told and found.ack >= peer.has + number:
                break
        times.append((time.perf_counter() - begun) * 1_000)
    return statistics.median(times[WARM:])


async def _listen(peer: Peer) -> float:
    delays: list[float] = []
    end = time.monotonic() + FLOOD_S
    while time.monotonic() < end:
        found, size = await peer.take()
        if isinstance(found.message, Heartbeat):
            delays.append(time.time() * 1_000 - found.message.at_ms)
        elif isinstance(found.message, LogLines):
            await asyncio.sleep(size / DRAIN_BYTES_PER_S)
        await peer.grant(found, size)
    expected = FLOOD_S / HEARTBEAT_S
    if len(delays) < expected / 2:
        raise RuntimeError(f"{len(delays)} of about {expected:.0f} heartbeats came")
    return max(delays)
