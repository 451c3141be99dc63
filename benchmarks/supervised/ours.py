"""Ours: one actor that crashes on demand, under a supervisor that restarts it at once."""

import time

from actors.supervision.actor import Actor
from actors.supervision.messages import RestartChild, StopChild
from actors.supervision.spec import Backoff, ChildSpec, MailboxSpec, SupervisorSpec
from actors.supervision.system import System

AT_ONCE = Backoff(min_s=0.0, max_s=0.0)
ROOMY = MailboxSpec(capacity=1_000_000)
MANY = 1_000_000_000
PATIENT_S = 300.0


class Boom(Exception):  # noqa: N818  # short: it is on purpose
    """What the actor dies of."""


class Echo(Actor):
    """Answers, or crashes when it is told to."""

    def on_message(self, message):
        if message == "crash":
            raise Boom("on purpose")
        return message


class Ours:
    """A contender: `restart(count)` seconds each, `tell(count)` messages a second."""

    def __enter__(self):
        children = (ChildSpec("echo", Echo, backoff=AT_ONCE, mailbox=ROOMY),)
        self.system = System(SupervisorSpec(children=children, intensity=MANY, period_s=1.0))
        self.system.start()
        self.handle = self.system.handle("/root/echo")
        return self

    def __exit__(self, *_):
        self.system.stop()

    def restart(self, count):
        """From the message that crashes it to the answer of its replacement, each time."""
        taken, handle, clock = [], self.handle, time.perf_counter
        for _ in range(count):
            begun = clock()
            handle.tell("crash")
            handle.ask("first").result()
            taken.append(clock() - begun)
        return taken

    def tell(self, count):
        """Until the last one is handled."""
        tell, begun = self.handle.tell, time.perf_counter()
        for number in range(count):
            tell(number)
        self.handle.call("last", timeout_s=PATIENT_S)
        return count / (time.perf_counter() - begun)

    def ask(self, message):
        """A promise of an answer."""
        return self.handle.ask(message, timeout_s=PATIENT_S)

    def stop_and_start(self):
        """Stop the actor and start it again, while others ask."""
        root = self.system.handle("/root")
        root.call(StopChild("echo"), timeout_s=PATIENT_S)
        root.call(RestartChild("echo"), timeout_s=PATIENT_S)

    def unresolved(self, futures):
        """How many have neither an answer nor an error."""
        return sum(not future.done() for future in futures)
