"""Rounds of faults between a real master and a real journal and link: cut links, kills of either side, at any moment.

The agent is the two actors that delivery depends on, in a real tree, with an owner whose effect is a line in a file. A
proxy between both sides is what cuts the link. Checked at the end, from the files of both sides.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.link.actor import LinkActor
from actors.link.identity import IdentityFiles
from actors.link.loop import LinkLoop
from actors.master.client import OperatorError, ask
from actors.master.keys import load_keys
from actors.master.server import BOOK_FILE
from actors.supervision.actor import Actor
from actors.supervision.spec import ChildSpec, MailboxSpec, SupervisorSpec
from actors.supervision.system import System
from benchmarks.link_fleet import _master, make_world
from config.journal import JournalSettings
from config.link import LinkSettings
from protocol.codec import decode
from protocol.messages.reports import Inventory
from tests.bed.ports import free_port

ENGINES = ("a", "b", "c")
START_S = 60.0
END_S = 120.0
TTL_MS = 3_600_000
FAULTS = ("cut", "cut", "agent", "master")
EFFECTS_FILE, JOURNAL_FILE = "effects", "journal.sqlite"


# -- the agent -----------------------------------------------------------------------------------------------


class Owner(Actor):
    """Carries every command out once: its line is the effect, and what it looks at before it does it again."""

    def __init__(self, file: Path, handle) -> None:
        self._file, self._journal = file, handle

    def on_start(self) -> object:
        text = self._file.read_text() if self._file.exists() else ""
        self._done = {line.split()[1] for line in text.splitlines()}
        return None

    def on_message(self, message: object) -> object:
        assert isinstance(message, journal.Execute)
        self._journal.tell(journal.Running(message.command_id))
        if message.command_id not in self._done:
            self._done.add(message.command_id)
            with self._file.open("a") as file:
                file.write(f"{message.command.name} {message.command_id}\n")
            self._journal.tell(journal.Emit("test.effect", "info", message.command.name, message.command_id))
        self._journal.tell(journal.Outcome(message.command_id, "done"))
        return None


def _agent(folder: Path, port: int, pipe) -> None:
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    settings = LinkSettings(
        masters=(f"https://127.0.0.1:{port}",),
        ca_file=folder / "ca.pem",
        first_retry_max_s=0.1,
        retry_max_s=0.3,
        refused_retry_s=1.0,
    )
    state = folder / "agent"
    system = System(
        SupervisorSpec(
            children=(
                ChildSpec(
                    "journal",
                    lambda: JournalActor(
                        file=state / JOURNAL_FILE,
                        settings=JournalSettings(),
                        routes={"engine": system.handle("/root/owner")},
                        link=system.handle("/root/link"),
                        wall=time.time,
                    ),
                    mailbox=MailboxSpec(capacity=10_000),
                ),
                ChildSpec("owner", lambda: Owner(state / EFFECTS_FILE, system.handle("/root/journal"))),
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
    pipe.send("up")
    signal.sigwait({signal.SIGTERM})
    system.stop()


# -- the network ---------------------------------------------------------------------------------------------


class Proxy:
    """Carries bytes between both sides until it is told to cut."""

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _carry(self, reader, writer) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        self._open -= {writer, back}

    def cut(self) -> None:
        """Every connection ends here and now, wherever in a frame it is."""
        self._do(self._cut())

    async def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(rest, timeout=5) if rest else None


async def _pipe(reader, writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


# -- the rounds ----------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found; `faults` is empty when everything holds."""

    rounds: int
    commands: int
    events: int
    done: Counter
    faults: list[str] = field(default_factory=list)


class Delivery:
    """One world; `close` ends its processes."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self._rng = folder, Random(seed)
        ((self.agent_id, key),) = make_world(folder, 1)
        state = folder / "agent"
        state.mkdir()
        (state / "agent.key").write_bytes(key.seed)
        keys = load_keys(folder)
        IdentityFiles(state).save(self.agent_id, keys.roots, keys.keyset)
        self._port = free_port()
        self._proxy = Proxy(self._port)
        self._context = multiprocessing.get_context("spawn")
        self.acknowledged: list[str] = []
        self.done: Counter = Counter()
        self._start("master")
        self._start("agent")

    def _start(self, which: str) -> None:
        mine, theirs = self._context.Pipe()
        if which == "master":
            (self.folder / "operator.sock").unlink(missing_ok=True)
            process = self._context.Process(target=_master, args=(self.folder, self._port, True, theirs))
        else:
            process = self._context.Process(target=_agent, args=(self.folder, self._proxy.port, theirs))
        process.start()
        setattr(self, which, process)
        assert mine.poll(START_S), f"the {which} did not start"
        mine.recv()

    def _kill(self, which: str) -> None:
        process = getattr(self, which)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()

    def run(self, rounds: int) -> Report:
        """Commands and one fault each round; then both sides are left alone until everything has ended."""
        for number in range(rounds):
            sender = threading.Thread(target=self._send, args=(self._rng.randint(1, 4), Random(self._rng.random())))
            sender.start()
            fault = self._rng.choice(FAULTS)
            time.sleep(self._rng.uniform(0.0, 0.15))  # the moment of the fault is what is random here
            if fault == "cut":
                self._proxy.cut()
            else:
                self._kill(fault)
            sender.join()
            if fault != "cut":
                self._start(fault)
            self.done[fault] += 1
            print(f"round {number + 1}: {fault}", flush=True) if (number + 1) % 20 == 0 else None
        return self._report(rounds)

    def _send(self, count: int, rng: Random) -> None:
        for _ in range(count):
            asked = {"word": "engine.stop", "payload": {"name": rng.choice(ENGINES)}, "ttl_ms": TTL_MS}
            try:
                answer = ask(self.folder, "POST", f"/v1/agents/{self.agent_id}/commands", asked)
            except (OperatorError, OSError):
                continue  # the master is gone; whether it kept the command is looked up at the end
            self.acknowledged.append(answer["command_id"])

    def _report(self, rounds: int) -> Report:
        end = time.monotonic() + END_S
        while self._open_commands() and time.monotonic() < end:
            time.sleep(0.2)
        return self._check(rounds)

    def _open_commands(self) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / BOOK_FILE)) as book:
            (count,) = book.execute("SELECT COUNT(*) FROM commands WHERE state != 'done'").fetchone()
        local = self._journal("SELECT COUNT(*) FROM outbox")[0][0]
        return count + local

    def _journal(self, question: str) -> list:
        with contextlib.closing(sqlite3.connect(self.folder / "agent" / JOURNAL_FILE)) as file:
            return file.execute(question).fetchall()

    def _check(self, rounds: int) -> Report:
        with contextlib.closing(sqlite3.connect(self.folder / BOOK_FILE)) as book:
            rows = book.execute("SELECT command_id, state, result FROM commands ORDER BY position").fetchall()
            told = [json.loads(text)["event_id"] for (text,) in book.execute("SELECT payload FROM events")]
        kept = [decode(raw)["event_id"] for (raw,) in self._journal("SELECT payload FROM events")]
        lines = [line.split() for line in (self.folder / "agent" / EFFECTS_FILE).read_text().splitlines()]
        effects, found = [command_id for _, command_id in lines], Report(rounds, len(rows), len(kept), self.done)
        known = [command_id for command_id, _, _ in rows]
        say = found.faults.append
        if lost := set(self.acknowledged) - set(known):
            say(f"acknowledged to the operator and not in the book: {lost}")
        if unfinished := [row[:2] for row in rows if row[1] != "done" or row[2] is None]:
            say(f"without a result: {unfinished[:5]}")
        if sorted(effects) != sorted(known):
            more = Counter(effects)
            more.subtract(known)
            say(f"effects per command other than one: {[item for item in more.items() if item[1]][:5]}")
        place = {command_id: number for number, command_id in enumerate(known)}
        for engine in ENGINES:
            order = [place.get(command_id, -1) for name, command_id in lines if name == engine]
            if order != sorted(order):
                say(f"commands of engine {engine} were carried out in another order than given")
        if sorted(told) != sorted(kept):
            lost, twice = set(kept) - set(told), [event for event, times in Counter(told).items() if times > 1]
            say(f"events lost {len(lost)}, twice {len(twice)}, of nobody {len(set(told) - set(kept))}")
        return found

    def close(self) -> None:
        """End both sides and the network."""
        for which in ("agent", "master"):
            with contextlib.suppress(Exception):
                self._kill(which)
        self._proxy.close()
