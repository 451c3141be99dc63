"""Real trees for tests: scripted actors, gates instead of sleeps, and a world that checks that nothing is left.

Everything waits through the runtime, so that a world on another runtime runs the same tests.
"""

import threading

from actors.supervision.actor import Actor
from actors.supervision.spec import Backoff, ChildSpec, MailboxSpec, Strategy, SupervisorSpec
from actors.supervision.system import System
from config.supervision import SupervisionSettings

WITHIN_S = 20.0
FAST = Backoff(min_s=0.001, max_s=0.002, jitter=0.0, reset_after_s=3600.0)
SETTINGS = SupervisionSettings(scan_interval_s=0.01, task_join_s=5.0)


class Gate:
    """Closed until opened; whoever passes waits."""

    def __init__(self, runtime):
        self._runtime, self._waiting, self._open = runtime, [], False
        self.arrived = 0

    def open(self):
        self._open = True
        for parker in self._waiting:
            parker.unpark()

    def wait(self, within_s=WITHIN_S):
        self.arrived += 1
        parker = self._runtime.parker()
        self._waiting.append(parker)
        if not self._open:
            parker.park(within_s)


class Boom(Exception):  # noqa: N818  # short, as it is written often
    pass


class Scripted(Actor):
    """Runs the functions that it is sent; notes what happens to it in the world."""

    def __init__(self, world, name, on_start=None, on_stop=None, on_crash=None):
        self.world, self.name = world, name
        self._start, self._stop, self._crash = on_start, on_stop, on_crash
        self.seen = []
        world.note(f"made {name}")

    def on_start(self):
        result = self._start(self) if self._start else None
        self.world.note(f"start {self.name}")
        return result

    def on_message(self, message):
        if callable(message):
            return message(self)
        self.seen.append(message)
        self.world.got.append((self.name, self.context.incarnation, message))
        return None

    def on_stop(self, reason):
        if self._stop:
            self._stop(self)
        self.world.note(f"stop {self.name}")

    def on_crash(self, cause):
        if self._crash:
            self._crash(self)
        self.world.note(f"crash {self.name}")


def crash(actor):
    raise Boom("on purpose")


def incarnation(actor):
    return actor.context.incarnation


def leave(actor):
    actor.context.stop("done")


def leave_shutdown(actor):
    """End with the kind shutdown, as an actor that was asked to stop through pykka does."""
    actor.context._incarnation.actor_ref.stop(block=False)


class World:
    def __init__(self, runtime):
        self.runtime = runtime
        self.notes, self.got, self.systems, self.gates = [], [], [], []

    def workers(self):
        """Names of the threads or greenlets that live."""
        simulated = getattr(self.runtime, "workers", None)
        return sorted(worker.name for worker in (threading.enumerate() if simulated is None else simulated))

    def here(self):
        """Name of the thread or greenlet that asks."""
        schedule = getattr(self.runtime, "schedule", None)
        return threading.current_thread().name if schedule is None else schedule.running.name

    def note(self, text):
        self.notes.append(text)

    def gate(self):
        gate = Gate(self.runtime)
        self.gates.append(gate)
        return gate

    def child(self, name, on_start=None, on_stop=None, on_crash=None, **spec):
        spec.setdefault("backoff", FAST)
        return ChildSpec(name, lambda: Scripted(self, name, on_start, on_stop, on_crash), **spec)

    def group(self, name, *children, strategy=Strategy.ONE_FOR_ONE, of=None, **spec):
        of = {"intensity": 100, "period_s": 3600.0} | (of or {})
        spec.setdefault("backoff", FAST)
        return ChildSpec(name, SupervisorSpec(strategy, children, **of), **spec)

    def system(self, *children, strategy=Strategy.ONE_FOR_ONE, settings=SETTINGS, **flags):
        flags = {"intensity": 100, "period_s": 3600.0} | flags
        system = System(SupervisorSpec(strategy, children, **flags), runtime=self.runtime, settings=settings)
        self.systems.append(system)
        return system

    def start(self, *children, **flags):
        system = self.system(*children, **flags)
        system.start(WITHIN_S)
        return system

    def until(self, true, what="", within_s=WITHIN_S):
        deadline = self.runtime.now() + within_s
        while not (found := true()):
            if self.runtime.now() > deadline:
                raise AssertionError(f"not within {within_s} s: {what or true}\n{self.notes}\n{self.log()}")
            self.runtime.parker().park(0.002)
        return found

    def until_incarnation(self, system, path, number):
        self.until(
            lambda: (
                (found := self.node(system, path)) is not None
                and (found.incarnation, found.state) == (number, "running")
            ),
            f"{path} is running as #{number}",
        )

    def node(self, system, path):
        found = [node for node in walk(system.tree()) if node.path == path]
        return found[0] if found else None

    def state(self, system, path):
        found = self.node(system, path)
        return found.state if found else None

    def events(self, kind, path=None, system=None):
        systems = [system] if system else self.systems
        return [event for one in systems for event in one.events() if event.kind == kind and path in {None, event.path}]

    def log(self):
        return "\n".join(
            f"{event.kind} {event.path}#{event.incarnation} {event.reason}"
            for system in self.systems
            for event in system.events()
        )

    def close(self):
        for gate in self.gates:
            gate.open()
        for system in self.systems:
            system.stop(WITHIN_S)


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)


ROOMY = MailboxSpec(capacity=1_000_000)
