"""Twenty thousand commands while their owner crashes at random: before one in a hundred, after three in a thousand.

Ours keeps them in the project's own journal, on disk, and does them under supervision; stock pykka has its queue.
"""

import logging
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pykka
import structlog

from actors.journal import messages as say
from actors.journal.actor import JournalActor
from actors.supervision.actor import Actor
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from benchmarks.harness import NotMeasuredError
from benchmarks.supervised.ours import AT_ONCE, MANY, ROOMY, Boom
from config.journal import JournalSettings
from protocol.command import open_command, seal_command
from protocol.messages.commands import AgentDrain
from tests.fakes.trust import AGENT, NOW_MS, key

COMMANDS = 20_000
PRODUCERS = 4
BEFORE, AFTER = 0.01, 0.003
WINDOW = 50
"""How many commands of one producer may wait for their end."""
WITHIN_S = 240.0
SETTLE_S = 1.0


class Dice:
    """When the owner crashes; what was interrupted before its effect rolls anew."""

    def __init__(self, seed):
        self._rng = random.Random(seed)

    def roll(self, chance):
        """Crash, with that chance."""
        if self._rng.random() < chance:
            raise Boom("on purpose")


class Owner(Actor):
    """Carries a command out: its effect is an entry in a set outside of it."""

    def __init__(self, run):
        self._run = run

    def on_start(self):
        if self.context.incarnation > 1:
            self._run.restarts += 1
            self._run.journal.tell(say.Again("agent"))

    def on_message(self, message):
        if isinstance(message, say.Execute):
            journal, dice = self._run.journal, self._run.dice
            if message.command_id in self._run.effects:  # told again after a crash: its end was not on disk yet
                journal.tell(say.Outcome(message.command_id, "done"))
                return
            dice.roll(BEFORE)
            journal.tell(say.Running(message.command_id))
            self._run.effects.add(message.command_id)
            dice.roll(AFTER)
            journal.tell(say.Outcome(message.command_id, "done"))


class Listener(Actor):
    """Stands where the link stands: notes what was accepted."""

    def __init__(self, run):
        self._run = run

    def on_message(self, message):
        if isinstance(message, say.Accepted):
            self._run.accepted.add(message.command_id)


class Run:
    """The whole of it; `lost()` counts."""

    def __init__(self, seed, folder):
        self.dice, self.effects, self.accepted, self.restarts = Dice(seed), set(), set(), 0
        self._file = Path(folder) / "journal.sqlite"
        children = (
            ChildSpec("journal", self._journal, mailbox=ROOMY),
            ChildSpec("owner", lambda: Owner(self), mailbox=ROOMY, backoff=AT_ONCE),
            ChildSpec("link", lambda: Listener(self), mailbox=ROOMY),
        )
        self.system = System(SupervisorSpec(children=children, intensity=MANY, period_s=1e12))
        self.journal = self.system.handle("/root/journal")

    def _journal(self):
        return JournalActor(
            file=self._file,
            settings=JournalSettings(outbox_rows_max=10 * COMMANDS),
            routes={"agent": self.system.handle("/root/owner")},
            link=self.system.handle("/root/link"),
            wall=lambda: NOW_MS / 1000,
        )

    def _produce(self, first):
        signer, link = key("command"), self.system.handle("/root/link")
        waiting = set()
        for number in range(first, COMMANDS + 1, PRODUCERS):
            envelope = seal_command(
                signer, AGENT, number.to_bytes(16, "big"), NOW_MS, 600_000, AgentDrain(enabled=True)
            )
            signed = open_command(envelope, AGENT, {signer.kid: signer.public})
            self.journal.tell(say.Accept(signed, None, False, link))
            waiting.add(signed.command_id)
            while len(waiting) >= WINDOW:
                time.sleep(0.005)
                waiting -= self.effects.copy()

    def _done(self):
        """Commands with a final state on disk."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=30.0)) as book:
            return {command_id for (command_id,) in book.execute("SELECT command_id FROM commands WHERE state='done'")}

    def lost(self):
        """Accepted commands without an effect, or without an end on disk."""
        logged = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.system.start()
        try:
            producers = [threading.Thread(target=self._produce, args=(1 + one,)) for one in range(PRODUCERS)]
            for producer in producers:
                producer.start()
            for producer in producers:
                producer.join()
            end = time.monotonic() + WITHIN_S
            while len(self._done()) < COMMANDS and time.monotonic() < end:
                time.sleep(SETTLE_S)
        finally:
            self.system.stop()
            structlog.configure(**logged)
        if len(self.accepted) != COMMANDS or self.restarts < COMMANDS * BEFORE / 2:
            raise NotMeasuredError(
                "commands_lost", f"{len(self.accepted)} accepted, {self.restarts} restarts", "run it again"
            )
        return len(self.accepted - (self.effects & self._done()))


class StockOwner(pykka.ThreadingActor):
    """The same effect on stock pykka: what `on_failure` can do is start the next one."""

    use_daemon_thread = True

    def __init__(self, run):
        super().__init__()
        self._run = run

    def on_receive(self, message):
        self._run.dice.roll(BEFORE)
        self._run.effects.add(message)
        self._run.dice.roll(AFTER)

    def on_failure(self, *_):
        self._run.start()


class StockRun:
    """Four producers tell 20,000 commands; one that a dead actor refuses is sent again to the next."""

    def __init__(self, seed):
        self.dice, self.effects, self.told = Dice(seed), set(), 0
        self._lock = threading.Lock()
        self.start()

    def start(self):
        """The next owner."""
        self.owner = StockOwner.start(self)

    def _produce(self, first):
        for number in range(first, COMMANDS + 1, PRODUCERS):
            while True:
                try:
                    self.owner.tell(number)
                    break
                except pykka.ActorDeadError:
                    time.sleep(0.0005)
            with self._lock:
                self.told += 1

    def lost(self):
        """Accepted by a queue and never done."""
        producers = [threading.Thread(target=self._produce, args=(1 + one,)) for one in range(PRODUCERS)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join()
        seen = -1
        while seen != len(self.effects):
            seen = len(self.effects)
            time.sleep(SETTLE_S)
        if self.owner.is_alive():
            self.owner.stop()
        return self.told - len(self.effects)
