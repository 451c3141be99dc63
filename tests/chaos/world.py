"""Real threads, a real journal, and faults faster than any server has them: what was accepted is done, once.

Producers hand commands to the journal until it has accepted them; the journal tells their owner, which has an effect in
a world outside of every actor and says the outcome. Meanwhile an injector makes actors raise, leak, hang and fail to
start, supervisors crash, threads and disk run out. At the end everything is healed, and the accounts are compared.
"""

import asyncio
import itertools
import logging
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from actors.journal import messages as say
from actors.journal.actor import JournalActor
from actors.journal.store import JournalStore
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.signals import Probe
from actors.supervision.spec import Backoff, ChildSpec, Hang, MailboxSpec, SupervisorSpec
from actors.supervision.system import System
from actors.supervision.threads import ThreadRuntime
from actors.supervision.worker import ActorBehaviour
from config.journal import JournalSettings
from config.supervision import SupervisionSettings
from protocol.command import open_command, seal_command
from protocol.messages.commands import AgentDrain
from protocol.messages.reports import CommandResult
from tests.fakes.trust import AGENT, NOW_MS, key

PRODUCERS = 4
FAST = Backoff(min_s=0.001, max_s=0.01, jitter=0.5, reset_after_s=3_600.0)
HANG = Hang(default_s=0.15, grace_s=0.05)
HANGS_S = (0.05, 0.4)
MANY = 20_000
HEAL_S = 60.0
BASES = (SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
"""No MemoryError: it takes the process down at once, by design."""


class Injected(Exception):  # noqa: N818  # a fault, not an error of ours
    """What a handler meets."""


@dataclass
class Report:
    """What one run showed."""

    seed: int
    faults: Counter = field(default_factory=Counter)
    accepted: int = 0
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    done: int = 0
    threads_before: int = 0
    threads_after: int = 0
    restarts: int = 0
    exit_code: int | None = None


class Owner(Actor):
    """Carries commands out; what it did is outside of it, as a container is."""

    def __init__(self, world):
        self._world = world

    def on_start(self):
        self._world.fail_start(self.context.path)
        if self.context.incarnation > 1:
            self._world.handle("journal").tell(say.Again("agent"))

    def on_message(self, message):
        if isinstance(message, say.Execute):
            journal = self._world.handle("journal")
            journal.tell(say.Running(message.command_id))
            self.context.effect()
            self._world.do(message.command_id)
            journal.tell(say.Outcome(message.command_id, "done"))


class Listener(Actor):
    """Stands where the link stands: notes what was accepted."""

    def __init__(self, world):
        self._world = world

    def on_message(self, message):
        if isinstance(message, say.Accepted):
            self._world.accepted.add(message.command_id)


class Disk(JournalStore):
    """The journal's store, which the world may refuse to write."""

    full = False

    @contextmanager
    def transaction(self):
        with super().transaction():
            yield
            if Disk.full:
                raise sqlite3.OperationalError("database or disk is full")


class ScarceThreads(ThreadRuntime):
    """Threads that may run out."""

    refuses = 0

    def spawn(self, name, fn):
        if self.refuses > 0 and name.startswith("/root/"):
            self.refuses -= 1
            raise RuntimeError("can't start new thread")
        return super().spawn(name, fn)


class World:
    """One run. `seed` decides the faults, not how threads interleave."""

    def __init__(self, seed, folder):
        self.rng, self.report = random.Random(seed), Report(seed)
        self.accepted, self.effects = set(), set()
        self._lock = threading.Lock()
        self._serial = itertools.count(1)
        self._ending = threading.Event()
        self._traps, self._start_fails = {}, set()
        self._folder = folder
        self.runtime = ScarceThreads(seed=seed)
        settings = SupervisionSettings(
            scan_interval_s=0.02,
            task_join_s=0.5,
            abandoned_total_max=1_000,
            abandoned_path_max=1_000,
            abandoned_critical_max=1_000,
            events_kept=100,
        )
        self.system = System(self._spec(), runtime=self.runtime, settings=settings)

    def _spec(self):
        def child(name, make, **more):
            return ChildSpec(
                name, make, backoff=FAST, hang=HANG, start_timeout_s=2.0, mailbox=MailboxSpec(capacity=50_000), **more
            )

        many = {"intensity": MANY, "period_s": 0.05 * MANY}
        below = SupervisorSpec(children=(child("owner", lambda: Owner(self)),), **many)
        return SupervisorSpec(
            children=(
                child("journal", self._journal),
                ChildSpec("work", below, backoff=FAST),
                child("link", lambda: Listener(self)),
            ),
            **many,
        )

    def _journal(self):
        self.fail_start("/root/journal")
        return JournalActor(
            file=self._folder / "journal.sqlite",
            settings=JournalSettings(retry_s=0.05),
            routes={"agent": self.handle("work/owner")},
            link=self.handle("link"),
            wall=lambda: NOW_MS / 1000,
            opened=Disk.open,
        )

    def handle(self, path):
        return self.system.handle(f"/root/{path}")

    # -- effects and faults ----------------------------------------------------------------------------------

    def do(self, command_id):
        """The effect: made once however often it is asked for, as a container with a label is."""
        with self._lock:
            self.effects.add(command_id)

    def fail_start(self, path):
        if path in self._start_fails:
            self._start_fails.discard(path)
            raise Injected("it does not start")

    def trapped(self, behaviour, message, future, handler):
        actor = behaviour._actor
        how = self._traps.pop(actor.context.path, None)
        if how is None:
            return handler(behaviour, message, future)
        if how == "before":
            raise Injected("before the effect")
        if how == "base":
            raise random.choice(BASES)("leaked")
        if how == "hang":
            self._ending.wait(random.uniform(*HANGS_S))
        answer = handler(behaviour, message, future)
        if how == "after":
            raise Injected("after the effect")
        return answer

    def strike(self):
        """One fault."""
        path = self.rng.choice(("/root/journal", "/root/work/owner", "/root/link"))
        name = self.rng.choice(("before", "after", "base", "hang", "supervisor", "start", "thread", "disk"))
        if name == "supervisor":
            self.system.services.cells["/root/work"].mailbox.signal(Probe(_raise))
        elif name == "start":
            self._start_fails.add(path)
            self._traps[path] = "before"
        elif name == "thread":
            self.runtime.refuses = 1
            self._traps[path] = "before"
        elif name == "disk":
            Disk.full = not Disk.full
        else:
            self._traps[path] = name
        self.report.faults[name] += 1

    # -- the run ---------------------------------------------------------------------------------------------

    def _produce(self):
        while not self._ending.is_set():
            raw_id = next(self._serial).to_bytes(16, "big")
            signer = key("command")
            envelope = seal_command(signer, AGENT, raw_id, NOW_MS, 60_000, AgentDrain(enabled=True))
            signed = open_command(envelope, AGENT, {signer.kid: signer.public})
            while signed.command_id not in self.accepted and not self._ending.is_set():
                try:
                    self.handle("journal").tell(say.Accept(signed, None, False, self.handle("link")))
                except SupervisionError:
                    pass
                self._ending.wait(0.02)

    def run(self, faults, every_s=0.02):
        """So many faults, one after the other; then everything is healed and counted."""
        self.report.threads_before = threading.active_count()
        handler = ActorBehaviour.on_message
        world = self

        def on_message(behaviour, message, future):
            return world.trapped(behaviour, message, future, handler)

        ActorBehaviour.on_message = on_message
        logged = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        producers = [threading.Thread(target=self._produce, daemon=True) for _ in range(PRODUCERS)]
        try:
            self.system.start()
            for producer in producers:
                producer.start()
            for _ in range(faults):
                self.strike()
                time.sleep(self.rng.uniform(0.2, 1.8) * every_s)
            self._heal()
            for producer in producers:
                producer.join(10.0)
            self._account()
        finally:
            self._ending.set()
            ActorBehaviour.on_message = handler
            self.system.stop()
            structlog.configure(**logged)
        self._until(lambda: threading.active_count() <= self.report.threads_before, 10.0)
        self.report.threads_after = threading.active_count()
        self.report.exit_code = self.system.exit_code
        return self.report

    def _heal(self):
        Disk.full = False
        self.runtime.refuses = 0
        self._traps.clear()
        self._start_fails.clear()
        self._ending.set()

    def _until(self, true, within_s=HEAL_S):
        end = time.monotonic() + within_s
        while not (found := true()) and time.monotonic() < end:
            threading.Event().wait(0.05)
        return found

    def _results(self):
        try:
            rows, after = [], 0
            while found := self.handle("journal").call(say.ReadOutbox(after, 1_000), timeout_s=5.0):
                rows += [row.message for row in found if isinstance(row.message, CommandResult)]
                after = found[-1].offset
        except SupervisionError:
            return {}
        states = {}
        for message in rows:
            states.setdefault(message.command_id, set()).add(message.state)
        return states

    def _account(self):
        accepted = set(self.accepted)
        self._until(lambda: accepted <= self._results().keys())
        results = self._results()
        self.report.accepted = len(accepted)
        self.report.lost = [
            one for one in accepted if one not in results or ("done" in results[one] and one not in self.effects)
        ]
        # Whoever did it again after its end would have told another one.
        self.report.doubled = [one for one, states in results.items() if len(states) > 1]
        self.report.done = sum("done" in states for states in results.values())
        self.report.restarts = sum(child.restarts_total for child in _flat(self.system.tree()))


def _flat(node):
    return [node, *(inner for child in node.children for inner in _flat(child))]


def _raise():
    raise Injected("a fault in a supervisor")
