"""The real loop against a master by script, over TLS: chunks on either socket, under credit; a master that is dead."""

import asyncio
import random
import threading
import time

import pytest

from actors.link.bulk import BulkSocket
from actors.link.conversation import Bridge
from actors.link.errors import DroppedError
from actors.link.identity import IdentityFiles
from actors.link.loop import LinkLoop
from actors.link.messages import Left, SessionDown, SessionUp
from actors.link.outgoing import Item, Outgoing
from benchmarks.link_fleet import make_world
from config.link import LinkSettings
from protocol.flow import WINDOW_BYTES, Lane
from protocol.messages.control import Heartbeat, Refused
from protocol.messages.reports import CommandProgress, Inventory, LogLines, Report
from tests.fakes.link_master import scripted, serve
from tests.fakes.listener import Listener
from tests.fakes.trust import NOW_MS, pair

CHUNK_CHARS = 16_000


class World:
    """A scripted master in a thread, and a link loop in another."""

    def __init__(self, folder, *, bulk=None, grants=True, silent=False, early=(), **settings):
        ((agent_id, key),) = make_world(folder, 1)
        state = folder / "agent"
        state.mkdir()
        (state / "agent.key").write_bytes(key.seed)
        self.main, self.told, self.owner = Listener("/main"), Listener("/told"), Listener("/owner")
        self.second = Listener("/second")

        async def talk(peer):
            while True:
                found, size = await peer.take()
                self.main.tell(found.message)
                if grants:
                    await peer.grant(found, size)
                if isinstance(found.message, Heartbeat) and not silent:
                    await peer.send(Heartbeat(at_ms=1))

        async def carry(take):
            while True:
                self.second.tell((await take()).message)

        self.script = scripted(folder, (key.public,), talk, carry if bulk else None)
        IdentityFiles(state).save(agent_id, self.script.keys.roots, self.script.keys.keyset)
        self._loop, ready = asyncio.new_event_loop(), threading.Event()

        def run():
            self._runner, self.port = self._loop.run_until_complete(serve(folder, self.script))
            ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._runner.cleanup())
            self._loop.close()

        self._master = threading.Thread(target=run, name="scripted-master")
        self._master.start()
        assert ready.wait(20)
        known = {"masters": (f"https://127.0.0.1:{self.port}",), "ca_file": folder / "ca.pem", "heartbeat_s": 0.2}
        known |= {"first_retry_max_s": 0.05, "retry_max_s": 0.1}
        bridge = Bridge(self.told.tell, time.time, lambda: Inventory(values={}), IdentityFiles(state), random.Random(1))
        self.link = LinkLoop(LinkSettings(**(known | settings)), bridge, 0)
        for item in early:
            self.link.put(item)
        self._agent = threading.Thread(target=self.link.run, name="link-under-test")
        self._agent.start()

    def put(self, number, chars=100):
        session = self.told.of(SessionUp)[-1].session
        message = LogLines(stream="0" * 32, sequence=number, engine="e", lines=("x" * 4_000,) * (chars // 4_000 + 1))
        self.link.put(Item(Lane.BULK, message, session=session, owner=self.owner))

    def close(self):
        self.link.stop()
        self._agent.join(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._master.join(20)
        assert not self._agent.is_alive()
        assert not self._master.is_alive()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(**settings):
        made.append(World(tmp_path, **settings))
        made[0].told.wait(SessionUp, timeout_s=30)
        return made[0]

    yield make
    for one in made:
        one.close()


def sequence(number):
    return lambda chunk: chunk.sequence == number


def test_chunks_go_over_a_second_socket_and_their_owner_is_told(world):
    one = world(bulk=True)
    for number in (1, 2, 3):
        one.put(number)
    one.second.wait(LogLines, sequence(3), timeout_s=30)
    assert [chunk.sequence for chunk in one.second.of(LogLines)] == [1, 2, 3]
    assert one.main.of(LogLines) == []
    assert one.script.bulk_sockets == 1
    one.told.wait(Left, lambda left: left.sent and left.items[0].message.sequence == 3, timeout_s=30)


@pytest.mark.parametrize("settings", [{"bulk": None}, {"bulk": True, "bulk_socket": False}], ids=["refused", "off"])
def test_without_a_second_socket_chunks_go_over_the_main_one(world, settings):
    one = world(**settings)
    one.put(1)
    one.main.wait(LogLines, sequence(1), timeout_s=30)
    one.told.wait(Left, lambda left: left.sent, timeout_s=30)


def test_a_master_that_gives_no_credit_gets_a_window_and_still_every_heartbeat(world):
    one = world(bulk_socket=False, grants=False)
    for number in range(1, 40):
        one.put(number, CHUNK_CHARS)
    most = WINDOW_BYTES[Lane.BULK] // CHUNK_CHARS + 1
    one.main.wait(LogLines, sequence(most - 2), timeout_s=30)
    beats = len(one.main.of(Heartbeat))
    one.main.wait(Heartbeat, lambda _: len(one.main.messages) > 0 and len(one.main.of(Heartbeat)) > beats + 3)
    assert len(one.main.of(LogLines)) <= most


def test_what_waits_leaves_in_one_frame_by_priority(world):
    progress = [Item(Lane.FIGURES, CommandProgress(command_id=f"{n:032x}", stage="s")) for n in range(10)]
    one = world(early=[*progress, Item(Lane.CONTROL, Refused(code="E_BUSY", retry="later"))])
    one.main.wait(CommandProgress, lambda said: said.command_id == f"{9:032x}", timeout_s=30)
    frames = one.script.peer.frames
    assert any(len(words) > 10 for words in frames), frames
    words = [word for frame in frames for word in frame]
    assert words.index("error") < words.index("command.progress")
    assert [said.command_id for said in one.main.of(CommandProgress)] == [f"{n:032x}" for n in range(10)]


def test_what_is_large_goes_alone(world):
    report = Report(at_ms=1, full=True, values={f"name.{n}": "x" * 250 for n in range(40)})
    items = [Item(Lane.FIGURES, report), *(Item(Lane.CONTROL, Refused(code="E_BUSY", retry="no")) for _ in range(3))]
    one = world(early=items)
    one.main.wait(Report, timeout_s=30)
    assert ("report",) in one.script.peer.frames


class Socket:
    """Keeps what it is sent; the frame with this number is its last."""

    def __init__(self, last=1_000):
        self.frames, self._left = [], last

    async def send(self, frame):
        self._left -= 1
        if self._left == 0:
            raise DroppedError("the socket is gone")
        self.frames.append(frame)

    async def gone(self):
        pass


def chunks(count, chars=100):
    return [
        LogLines(stream="0" * 32, sequence=number, engine="e", lines=("x" * chars,)) for number in range(1, count + 1)
    ]


def carried(socket, messages):
    """The second socket with these chunks, until all of their owners were told: their frames, and who was told what."""
    both, outgoing, told = pair().shake(), Outgoing(), []
    channel = both.agent.channel.bulk()
    for message in messages:
        outgoing.put(Item(Lane.BULK, message))

    def put(channel, item):
        return channel.put(item.message, at_ms=NOW_MS, message_id=b"i" * 16, ack=0)

    async def connect():
        return socket

    async def main():
        done = asyncio.Event()

        def left(items, *, sent):
            told.extend((item.message.sequence, sent) for item in items)
            if len(told) == len(messages):
                done.set()

        bulk = BulkSocket(outgoing, channel, connect, put, left)
        bulk.wake()
        running = asyncio.create_task(bulk.run(done.set))
        async with asyncio.timeout(20):
            await done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert channel.frame() is None, "something is left for another socket"
    theirs = both.master.channel.bulk()
    return [[found.message.sequence for found in theirs.open(frame)] for frame in socket.frames], told


def test_chunks_that_wait_share_a_frame_of_the_second_socket():
    frames, told = carried(Socket(), chunks(5))
    assert frames == [[1, 2, 3, 4, 5]]
    assert told == [(number, True) for number in range(1, 6)]


def test_large_chunks_have_a_frame_each():
    frames, told = carried(Socket(), [*chunks(3, 4_000), chunks(4)[3]])
    assert frames == [[1], [2], [3, 4]]
    assert told == [(number, True) for number in range(1, 5)]


def test_what_was_lost_with_its_socket_does_not_come_late():
    frames, told = carried(Socket(last=2), chunks(3, 4_000))
    assert frames == [[1]]
    assert told == [(1, True), (2, True), (3, False)]


def test_the_owner_of_a_chunk_that_was_lost_with_its_socket_is_told():
    """It gives no further chunk before it knows what became of this one."""
    frames, told = carried(Socket(last=1), chunks(2))
    assert frames == []
    assert told == [(1, False), (2, False)]


def test_a_master_that_says_nothing_is_dropped_whatever_is_sent_to_it(world):
    one = world(silent=True, peer_dead_s=1.0)
    one.told.wait(SessionDown, lambda down: "nothing was heard" in down.why, timeout_s=30)
    assert len(one.main.of(Heartbeat)) >= 3
