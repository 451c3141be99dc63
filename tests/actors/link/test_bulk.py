"""The real loop against a master by script, over TLS: chunks on either socket, under credit; a master that is dead."""

import asyncio
import random
import threading
import time

import pytest

from actors.link.conversation import Bridge
from actors.link.identity import IdentityFiles
from actors.link.loop import LinkLoop
from actors.link.messages import Left, SessionDown, SessionUp
from actors.link.outgoing import Item
from benchmarks.link_fleet import make_world
from config.link import LinkSettings
from protocol.flow import WINDOW_BYTES, Lane
from protocol.messages.control import Heartbeat
from protocol.messages.reports import Inventory, LogLines
from tests.fakes.link_master import scripted, serve
from tests.fakes.listener import Listener

CHUNK_CHARS = 16_000


class World:
    """A scripted master in a thread, and a link loop in another."""

    def __init__(self, folder, *, bulk=None, grants=True, silent=False, **settings):
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


def test_a_master_that_says_nothing_is_dropped_whatever_is_sent_to_it(world):
    one = world(silent=True, peer_dead_s=1.0)
    one.told.wait(SessionDown, lambda down: "nothing was heard" in down.why, timeout_s=30)
    assert len(one.main.of(Heartbeat)) >= 3
